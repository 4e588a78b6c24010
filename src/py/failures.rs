//! What failures are counted as.

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyType;

/// Wrappers inside wrappers that are looked through.
const MOST_WRAPPERS: usize = 8;

/// The name of the type that says what went wrong: of the error itself, or of the one
/// that Kailash has wrapped, which is all that tells its failures apart.
pub(crate) fn type_name(py: Python<'_>, error: &PyErr) -> String {
    let mut told = error.clone_ref(py);
    for _ in 0..MOST_WRAPPERS {
        let Some(inner) = wrapped(py, &told) else {
            break;
        };
        told = inner;
    }
    name(&told.get_type(py)).unwrap_or_else(|| "unknown".into())
}

fn name(kind: &Bound<'_, PyType>) -> Option<String> {
    kind.name().ok()?.extract().ok()
}

fn wrapped(py: Python<'_>, error: &PyErr) -> Option<PyErr> {
    let kind = error.get_type(py);
    let module = kind.module().ok()?;
    if module.to_str().ok()? != "kailash.sdk_exceptions" {
        return None;
    }
    if let Some(cause) = error.cause(py) {
        return Some(cause);
    }
    // Raised where the node's own error was being handled. Anywhere else the context may
    // be of somebody who has nothing to do with it.
    if name(&kind)? != "NodeExecutionError" {
        return None;
    }
    let context = error
        .value(py)
        .getattr_opt(intern!(py, "__context__"))
        .ok()??;
    if context.is_none() || is_no_loop(&context) {
        return None;
    }
    Some(PyErr::from_value(context))
}

/// Kailash runs nodes while it handles that no event loop runs.
fn is_no_loop(error: &Bound<'_, PyAny>) -> bool {
    error.get_type().is(error.py().get_type::<PyRuntimeError>())
        && error.str().is_ok_and(|text| {
            text.to_str()
                .is_ok_and(|text| text == "no running event loop")
        })
}
