//! Runs that are answered from a cache of results, in one call: what can have changed
//! since somebody has looked closely is asked here, as for the short way of runs.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple, PyType, PyWeakrefReference};

use crate::core::locks::Mutex;
use crate::py::cache::NativeCache;
use crate::py::clients::{Wishes, current_wishes};
use crate::py::keys::run_key::run_key;
use crate::py::values::copies::private_copy;

use super::digest_watch::DigestWatch;
use super::figures::Figures;
use super::method_watch::MethodWatch;
use super::plan::WorkflowPlan;
use super::quiet::{Listeners, Quiet};
use super::run_ids::new_run_id;
use super::short_way::{attributes_of, is_unset};

/// What is asked of Python, or told to it.
#[derive(FromPyObject)]
struct Surroundings {
    workflow_class: Py<PyType>,
    /// A context variable that is set where Kailash would have more to do.
    trust: Py<PyAny>,
    /// A context variable with what a request asks of the cache.
    wish: Py<PyAny>,
    /// A context variable that is told how a run was answered.
    noted: Py<PyAny>,
    /// As `_digest` takes it.
    reduce: Py<PyAny>,
}

/// What a look has found out about a workflow on a runtime.
#[derive(FromPyObject)]
struct Known {
    workflow: Py<PyWeakrefReference>,
    /// Of the policy, the workflow's digest, and the runtime's options.
    marks: Py<DigestWatch>,
    digest: Py<DigestWatch>,
    options: Py<DigestWatch>,
    methods: Py<MethodWatch>,
    plan: Py<WorkflowPlan>,
    prefix: Py<PyBytes>,
    hooks: Py<PyAny>,
    results: Py<NativeCache>,
    /// What counts the runtime's runs, if anything does.
    figures: Option<Py<Figures>>,
}

/// Hits, which several runtimes may count together.
#[pyclass(frozen, module = "nexus_core")]
pub(crate) struct HitCount(AtomicU64);

#[pymethods]
impl HitCount {
    #[new]
    fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    #[getter]
    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Answers runs of one runtime whose results are kept.
#[pyclass(frozen, module = "nexus_core")]
pub(crate) struct Answers {
    around: Surroundings,
    quiet: Quiet,
    hits: Py<HitCount>,
    /// By the workflow's address.
    known: Mutex<HashMap<usize, Arc<Known>>>,
}

#[pymethods]
impl Answers {
    #[new]
    fn new(around: Surroundings, listeners: Listeners, hits: Py<HitCount>) -> Self {
        Self {
            around,
            quiet: Quiet::new(listeners),
            hits,
            known: Mutex::new(HashMap::new()),
        }
    }

    /// What runs of a workflow may be answered by.
    fn know(&self, workflow: &Bound<'_, PyAny>, known: Known) {
        let number = workflow.as_ptr() as usize;
        let old = self.known.lock().insert(number, Arc::new(known));
        drop(old);
    }

    /// Forgets what is known of a workflow that was at an address.
    fn forget(&self, number: usize) {
        let old = self.known.lock().remove(&number);
        drop(old);
    }

    /// Answers a run: its results and, with `gives_id`, an id; `None` if more has to be asked.
    fn attempt<'py>(
        &self,
        runtime: &Bound<'py, PyAny>,
        workflow: &Bound<'py, PyAny>,
        inputs: &Bound<'py, PyAny>,
        gives_id: bool,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let py = runtime.py();
        let known = {
            let known = self.known.lock();
            known.get(&(workflow.as_ptr() as usize)).cloned()
        };
        let Some(known) = known else {
            return Ok(None);
        };
        let Ok(inputs) = inputs.cast_exact::<PyDict>() else {
            return Ok(None);
        };
        let wishes = current_wishes(py);
        if wishes.as_ref().is_some_and(Wishes::asks_for_more)
            || !self.still_holds(&known, runtime, workflow)?
            || inputs.contains(intern!(py, "workflow_context"))?
        {
            return Ok(None);
        }
        let prefix = known.prefix.bind(py);
        let reduce = self.around.reduce.bind(py);
        // What has no key is told by who looks more closely.
        let Ok(Some(key)) = run_key(py, prefix, inputs, "inputs", reduce, false) else {
            return Ok(None);
        };
        let Some(kept) = known.results.get().found(key.as_any())? else {
            return Ok(None);
        };
        let snapshot = kept.getattr(intern!(py, "snapshot"))?;
        if !snapshot.getattr(intern!(py, "_is_plain"))?.is_truthy()? {
            return Ok(None);
        }
        let results = private_copy(&snapshot.getattr(intern!(py, "_held"))?)?;
        let made_at: f64 = kept.getattr(intern!(py, "made_at"))?.extract()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let age = now.map_or(0.0, |now| (now.as_secs_f64() - made_at).max(0.0));
        self.hits.get().0.fetch_add(1, Ordering::Relaxed);
        if let Some(figures) = &known.figures {
            let plan = &known.plan.get().plan;
            plan.figures(&figures.get().0, workflow).was_answered();
        }
        let note = (intern!(py, "hit"), py.None(), age, key).into_pyobject(py)?;
        set(self.around.noted.bind(py), note.as_any())?;
        if let Some(wishes) = wishes {
            wishes.was_hit(age);
        }
        let number = if gives_id {
            new_run_id().into_pyobject(py)?.into_any()
        } else {
            py.None().into_bound(py)
        };
        PyTuple::new(py, [results, number]).map(Some)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        // The rest are modules' own, for the life of the process.
        visit.call(&self.hits)?;
        let Some(known) = self.known.try_lock() else {
            return Ok(());
        };
        // What a run beside this holds, too, is out of the collector's sight.
        for known in known.values().filter(|known| Arc::strong_count(known) == 1) {
            visit.call(&known.marks)?;
            visit.call(&known.digest)?;
            visit.call(&known.options)?;
            visit.call(&known.methods)?;
            visit.call(&known.plan)?;
            visit.call(&known.hooks)?;
            visit.call(&known.results)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        let old = std::mem::take(&mut *self.known.lock());
        drop(old);
    }
}

impl Answers {
    fn still_holds(
        &self,
        known: &Known,
        runtime: &Bound<'_, PyAny>,
        workflow: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let py = runtime.py();
        let is_own = || {
            let own = known.workflow.bind(py).upgrade();
            own.is_some_and(|own| own.is(workflow))
        };
        let has_subscribers = || {
            let count = known
                .hooks
                .bind(py)
                .getattr(intern!(py, "subscriber_count"));
            count?.is_truthy()
        };
        Ok(is_own()
            && workflow.get_type().is(&self.around.workflow_class)
            && known.options.get().is_current(py)?
            && known.marks.get().is_current(py)?
            && known.digest.get().is_current(py)?
            && known.plan.get().is_current(py)?
            && known.methods.get().is_untouched(runtime, &attributes_of(runtime)?)?
            && is_unset(self.around.trust.bind(py))?
            && is_unset(self.around.wish.bind(py))?
            && !has_subscribers()?
            // Credentials that are kept, or metrics that are read.
            && !self.quiet.heard(py)?.end)
    }
}

/// Sets a context variable in the calling context.
fn set(variable: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = variable.py();
    // SAFETY: attached; anything but a context variable is refused with an exception; what
    // is returned is a new reference or null.
    let token = unsafe {
        let token = ffi::PyContextVar_Set(variable.as_ptr(), value.as_ptr());
        Bound::from_owned_ptr_or_err(py, token)?
    };
    drop(token);
    Ok(())
}
