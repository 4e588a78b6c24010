//! What stands in a node's arguments for something known only later, and the
//! token that stops a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::core::locks::Mutex;

/// The result of another node, wherever it stands in a node's arguments.
///
/// `TaskGraph.add` returns one; making it by name allows to refer to a node that is
/// added later. Two are equal if their names are.
///
/// Args:
///     name: The node's name.
///
/// Example:
///     >>> from nexus_core import Ref, TaskGraph
///     >>> graph = TaskGraph()
///     >>> _ = graph.add("total", sum, [Ref("one"), Ref("two")])
///     >>> _ = graph.add("one", int, "1")
///     >>> _ = graph.add("two", int, "2")
///     >>> graph.run()
///     {'one': 1, 'two': 2, 'total': 3}
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

    /// The node's name.
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
///
/// Several nodes may use one input; all see the same object.
///
/// Args:
///     name: The key of the value in `run(inputs)`.
///     default: The value for runs that are given none; by position only.
///
/// Raises:
///     TypeError: If more than one default is given.
///
/// Example:
///     >>> from nexus_core import Input, TaskGraph
///     >>> graph = TaskGraph()
///     >>> _ = graph.add("power", pow, Input("base"), Input("exponent", 2))
///     >>> graph.run({"base": 3}), graph.run({"base": 3, "exponent": 3})
///     ({'power': 9}, {'power': 27})
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

    /// The key of the value in `run(inputs)`.
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
///
/// Nodes that are running go on to their end. A token that was cancelled stays so.
///
/// Example:
///     >>> from nexus_core import CancellationToken, TaskGraph
///     >>> token = CancellationToken()
///     >>> graph = TaskGraph()
///     >>> first = graph.add("first", token.cancel, "seen enough")
///     >>> _ = graph.add("second", print, first)
///     >>> graph.run(cancel=token)
///     Traceback (most recent call last):
///         ...
///     nexus_core.errors.RunCancelled: the run was cancelled: seen enough
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

    /// Lets no further node start, from any thread. The first call counts.
    ///
    /// Args:
    ///     reason: Why, for the error that the run raises.
    ///
    /// Example:
    ///     >>> from nexus_core import CancellationToken
    ///     >>> token = CancellationToken()
    ///     >>> token.cancel("the user left")
    ///     >>> token
    ///     <CancellationToken cancelled: the user left>
    #[pyo3(signature = (reason=None))]
    fn cancel(&self, reason: Option<String>) {
        self.state
            .reason
            .lock()
            .get_or_insert_with(|| reason.unwrap_or_default());
        self.state.cancelled.store(true, Ordering::Release);
    }

    /// Whether `cancel()` has been called.
    #[getter]
    fn cancelled(&self) -> bool {
        self.state.is_cancelled()
    }

    /// What was given to `cancel()`, or `None`.
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
