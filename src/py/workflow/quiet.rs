//! Whether anybody would learn more of a run than its outcome.

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::core::locks::Mutex;
use crate::py::engine::Ask;

use super::watch::version;

/// Who could learn something.
#[derive(FromPyObject)]
pub(super) struct Listeners {
    /// Silent unless enabled for `level`.
    loggers: Vec<Py<PyAny>>,
    level: Py<PyAny>,
    /// Variables of the module with Kailash's metrics bridge.
    metrics: Py<PyDict>,
    /// Variables of the module with its credentials, which a run's end clears.
    credentials: Py<PyDict>,
}

#[derive(Clone, Copy)]
pub(super) struct Heard {
    /// What is logged.
    pub(super) logs: bool,
    /// What is told of a run's end.
    pub(super) end: bool,
}

/// That nobody listens, and how everything was that says so.
struct Silence {
    dicts: Vec<(Py<PyDict>, u64)>,
    /// Credentials that are kept; there are none.
    kept: Py<PyDict>,
}

/// Looks for listeners again only when something has changed.
pub(super) struct Quiet {
    listeners: Listeners,
    silence: Mutex<Option<Arc<Silence>>>,
}

impl Quiet {
    pub(super) fn new(listeners: Listeners) -> Self {
        Self {
            listeners,
            silence: Mutex::new(None),
        }
    }

    pub(super) fn heard(&self, py: Python<'_>) -> PyResult<Heard> {
        let silence = self.silence.lock().clone();
        if silence.is_some_and(|silence| silence.holds(py)) {
            return Ok(Heard {
                logs: false,
                end: false,
            });
        }
        self.listen(py)
    }

    #[cold]
    fn listen(&self, py: Python<'_>) -> PyResult<Heard> {
        let listeners = &self.listeners;
        let mut dicts = Vec::new();
        let mut heard = Heard {
            logs: false,
            end: true,
        };
        for logger in &listeners.loggers {
            let logger = logger.bind(py);
            let enabled = logger.ask(intern!(py, "isEnabledFor"), (&listeners.level,))?;
            heard.logs |= enabled.is_truthy()?;
            dicts.push(variables(logger)?);
            // A logger forgets its answers whenever a level is set anywhere, logging as a
            // whole is disabled, or it gets another parent.
            let answers = logger.getattr_opt(intern!(py, "_cache"))?;
            dicts.push(answers.and_then(|answers| answers.cast_into_exact().ok()));
        }
        let metrics = listeners.metrics.bind(py);
        let bridge = metrics.get_item(intern!(py, "_global_bridge"))?;
        let credentials = listeners.credentials.bind(py);
        let store = credentials.get_item(intern!(py, "_credential_store"))?;
        let (Some(bridge), Some(store)) = (bridge, store) else {
            return Ok(heard);
        };
        let counter = bridge.getattr_opt(intern!(py, "_workflow_counter"))?;
        let kept = store.getattr_opt(intern!(py, "_store"))?;
        let (Some(counter), Some(kept)) = (counter, kept) else {
            return Ok(heard);
        };
        // Until somebody sets a provider, an instrument stands in for a real one.
        let instrument = counter.getattr_opt(intern!(py, "_real_instrument"))?;
        let is_recorded = !instrument.unwrap_or_else(|| counter.clone()).is_none();
        heard.end = is_recorded || kept.is_truthy()?;
        dicts.extend([Some(metrics.clone()), Some(credentials.clone())]);
        dicts.extend([variables(&bridge)?, variables(&store)?]);
        if !counter.is_none() {
            dicts.push(variables(&counter)?);
        }
        let marks: Option<Vec<_>> = dicts
            .into_iter()
            .map(|dict| dict.map(|dict| (version(&dict), dict)))
            .map(|mark| mark.map(|(version, dict)| (dict.unbind(), version)))
            .collect();
        // While one logger was asked, another thread may have set the level of one that
        // had answered. Those that keep silent now have been silent when the marks were
        // made, or had their marks changed since.
        heard.logs = heard.logs || self.is_logged(py)?;
        if let (false, false, Some(dicts), Ok(kept)) =
            (heard.logs, heard.end, marks, kept.cast_into_exact())
        {
            let kept = kept.unbind();
            let old = self
                .silence
                .lock()
                .replace(Arc::new(Silence { dicts, kept }));
            drop(old);
        }
        Ok(heard)
    }

    fn is_logged(&self, py: Python<'_>) -> PyResult<bool> {
        for logger in &self.listeners.loggers {
            let question = intern!(py, "isEnabledFor");
            let enabled = logger.bind(py).ask(question, (&self.listeners.level,))?;
            if enabled.is_truthy()? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Silence {
    fn holds(&self, py: Python<'_>) -> bool {
        self.kept.bind(py).is_empty()
            && self
                .dicts
                .iter()
                .all(|(dict, seen)| *seen != 0 && version(dict.bind(py)) == *seen)
    }
}

/// The attributes that an object has itself.
fn variables<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyDict>>> {
    let variables = object.getattr_opt(intern!(object.py(), "__dict__"))?;
    Ok(variables.and_then(|variables| variables.cast_into_exact().ok()))
}
