//! `kailash.security.validate_node_parameters`, through which `CodeExecutor`
//! sanitises the inputs of a node's code.
//!
//! It is `sanitize_input` for every key and value, except that a string under a
//! key that contains "path" or "file" is checked as a path and becomes a `Path`.

use super::{
    StockFunctions,
    kind::{Kind, kind_of},
    sanitize::{resolve_and_sanitize, sanitize},
    text,
    walk::any_entry,
};
use pyo3::{prelude::*, types::PyDict};

/// The sanitised parameters, or `None` where stock's `validate_node_parameters`
/// has to be called with all of them.
///
/// Stock also logs the parameters' names (level INFO, logger
/// `kailash.security`, if its configuration asks for an audit). That line is the
/// caller's to write when `Some` is returned.
#[inline]
pub fn sanitize_parameters<'py>(
    parameters: &Bound<'py, PyDict>,
    stock: &StockFunctions,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    if stock_must_look(parameters) {
        return Ok(None);
    }
    sanitize(parameters, stock).map(Some)
}

/// [`sanitize_parameters`] on the parameters with their templates resolved, in
/// one walk where nothing is to be resolved. On `None` nothing has been done.
#[inline]
pub fn resolve_and_sanitize_parameters<'py>(
    parameters: &Bound<'py, PyDict>,
    runtime_inputs: &Bound<'py, PyDict>,
    stock: &StockFunctions,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    if stock_must_look(parameters) {
        return Ok(None);
    }
    resolve_and_sanitize(parameters, runtime_inputs, stock).map(Some)
}

/// Whether a key is not a plain string, or names a path while its value may be
/// one (or may be a template for one).
fn stock_must_look(parameters: &Bound<'_, PyDict>) -> bool {
    // SAFETY: `parameters` is alive.
    if unsafe { kind_of(parameters.as_ptr()) } != Kind::Dict {
        return true;
    }
    any_entry(parameters, |key, value| {
        // SAFETY: the dict holds both, and no Python code runs in here.
        unsafe {
            kind_of(key) != Kind::Text
                || (text::names_path(key) && matches!(kind_of(value), Kind::Text | Kind::Other))
        }
    })
}
