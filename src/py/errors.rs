//! The only place that turns a Rust error into a Python one.
//!
//! The exception classes live in `nexus_core.errors`, so that they have
//! docstrings, attributes and ordinary base classes.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyTuple};

use crate::core::graph::GraphError;
use crate::core::schedule::StepError;

static ERRORS: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

fn class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    ERRORS
        .get_or_try_init(py, || py.import("nexus_core.errors").map(Bound::unbind))?
        .bind(py)
        .getattr(name)
}

/// Raises `nexus_core.errors.<name>(*args)`.
pub(crate) fn raise<'py, A>(py: Python<'py>, name: &str, args: A) -> PyErr
where
    A: pyo3::call::PyCallArgs<'py>,
{
    match class(py, name).and_then(|class| class.call1(args)) {
        Ok(error) => PyErr::from_value(error),
        Err(broken) => broken,
    }
}

/// A refused graph, with nodes named as the user named them.
pub(crate) fn graph_error(py: Python<'_>, error: &GraphError, names: &[Py<PyString>]) -> PyErr {
    if let GraphError::Cycle { path } = error {
        let along = path.iter().map(|&node| names[node as usize].bind(py));
        return match PyTuple::new(py, along) {
            Ok(path) => raise(py, "CycleError", (path,)),
            Err(broken) => broken,
        };
    }
    let mut text = error.to_string();
    if let GraphError::InvalidDuration { node, .. } = error {
        let name = names[*node as usize].bind(py).repr();
        if let Ok(name) = name {
            text = text.replacen(&format!("node {node}"), &format!("node {name}"), 1);
        }
    }
    raise(py, "GraphError", (text,))
}

pub(crate) fn step_error(py: Python<'_>, error: StepError, name: &Py<PyString>) -> PyErr {
    let what = match error {
        StepError::NotHandedOut => "was not handed out by get_ready()",
        StepError::AlreadyDone => "was already marked done",
    };
    raise(py, "StepError", (name.clone_ref(py), what))
}

/// The exception with its traceback, which Python before 3.12 keeps beside it.
pub(crate) fn exception<'py>(
    py: Python<'py>,
    error: &PyErr,
) -> Bound<'py, pyo3::exceptions::PyBaseException> {
    let exception = error.value(py).clone();
    if let Some(traceback) = error.traceback(py) {
        // SAFETY: attached; an exception and a traceback. The status can only
        // say that the second is no traceback.
        unsafe {
            pyo3::ffi::PyException_SetTraceback(exception.as_ptr(), traceback.as_ptr());
        }
    }
    exception
}
