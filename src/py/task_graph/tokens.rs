//! What stands in a node's arguments for something known only later, and the
//! token that stops a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// The result of another node, wherever it stands in a node's arguments.
#[pyclass(frozen, module = "nexus_core")]
pub(crate) struct Ref {
    pub(crate) name: Py<PyString>,
}

#[pymethods]
impl Ref {
    #[new]
    fn new(name: Py<PyString>) -> Self {
        Self { name }
    }

    #[getter]
    fn name(&self, py: Python<'_>) -> Py<PyString> {
        self.name.clone_ref(py)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("Ref({})", self.name.bind(py).repr()?))
    }

    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        match other.cast::<Self>() {
            Ok(other) => self.name.bind(py).as_any().eq(other.get().name.bind(py)),
            Err(_) => Ok(false),
        }
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        self.name.bind(py).hash()
    }
}

/// A value that each run is given under a name.
#[pyclass(frozen, module = "nexus_core")]
pub(crate) struct Input {
    pub(crate) name: Py<PyString>,
    pub(crate) default: Option<Py<PyAny>>,
}

#[pymethods]
impl Input {
    #[new]
    #[pyo3(signature = (name, *default))]
    fn new(name: Py<PyString>, default: &Bound<'_, pyo3::types::PyTuple>) -> PyResult<Self> {
        if default.len() > 1 {
            return Err(pyo3::exceptions::PyTypeError::new_err(format!(
                "Input() takes a name and at most one default, {} defaults were given",
                default.len()
            )));
        }
        let default = default.iter().next().map(Bound::unbind);
        Ok(Self { name, default })
    }

    #[getter]
    fn name(&self, py: Python<'_>) -> Py<PyString> {
        self.name.clone_ref(py)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let name = self.name.bind(py).repr()?;
        Ok(match &self.default {
            None => format!("Input({name})"),
            Some(default) => format!("Input({name}, {})", default.bind(py).repr()?),
        })
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.default)
    }
}

#[derive(Default)]
pub(crate) struct CancelState {
    cancelled: AtomicBool,
    reason: Mutex<Option<String>>,
}

impl CancelState {
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    pub(crate) fn reason(&self) -> Option<String> {
        self.reason.lock().clone()
    }
}

/// Stops the runs that were given it: no node starts after `cancel()`.
#[pyclass(frozen, module = "nexus_core")]
pub(crate) struct CancellationToken {
    pub(crate) state: Arc<CancelState>,
}

#[pymethods]
impl CancellationToken {
    #[new]
    fn new() -> Self {
        Self {
            state: Arc::default(),
        }
    }

    #[pyo3(signature = (reason=None))]
    fn cancel(&self, reason: Option<String>) {
        self.state
            .reason
            .lock()
            .get_or_insert_with(|| reason.unwrap_or_default());
        self.state.cancelled.store(true, Ordering::Release);
    }

    #[getter]
    fn cancelled(&self) -> bool {
        self.state.is_cancelled()
    }

    #[getter]
    fn reason(&self) -> Option<String> {
        self.state.reason().filter(|reason| !reason.is_empty())
    }

    fn __repr__(&self) -> String {
        if self.state.is_cancelled() {
            format!(
                "<CancellationToken cancelled: {}>",
                self.reason().unwrap_or_default()
            )
        } else {
            "<CancellationToken active>".into()
        }
    }
}
