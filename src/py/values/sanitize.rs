//! Template resolution and input sanitising, as Kailash applies them to the
//! inputs of a node: `kailash.runtime.template_resolver.resolve_templates` and
//! then `kailash.security.sanitize_input` in the context `python_exec`.

use super::{
    StockFunctions,
    rebuild::{Rules, Stop, rebuild, rebuild_asking, rebuild_native},
    text,
};
use pyo3::{ffi, prelude::*, types::PyDict};

/// Resolves templates first and sanitises the result, which may hold objects
/// that templates brought in.
///
/// Where nothing needs either, which one walk finds out, the value is rebuilt in
/// that walk. Otherwise the two steps are done one after the other, over the
/// whole value, as stock does: a template's `str()` or a warning of the
/// sanitiser happens in stock's order.
#[inline]
pub fn resolve_and_sanitize<'py>(
    value: &Bound<'py, PyAny>,
    runtime_inputs: &Bound<'py, PyDict>,
    stock: &StockFunctions,
) -> PyResult<Bound<'py, PyAny>> {
    match rebuild_native::<ResolveAndSanitize>(value) {
        Ok(rebuilt) => Ok(rebuilt),
        Err(Stop::Raised(error)) => Err(*error),
        Err(Stop::TooDeep) => {
            stock.sanitize_input(&stock.resolve_templates(value, runtime_inputs)?)
        }
        Err(Stop::AskPython) => {
            let resolved = rebuild_asking::<Resolve>(value, &|part| {
                stock.resolve_templates(part, runtime_inputs)
            })?;
            sanitize(&resolved, stock)
        }
    }
}

/// Only the templates: what stock's `resolve_templates` returns, with every dict
/// and list rebuilt.
pub fn resolve_templates_copy<'py>(
    value: &Bound<'py, PyAny>,
    runtime_inputs: &Bound<'py, PyDict>,
    stock: &StockFunctions,
) -> PyResult<Bound<'py, PyAny>> {
    rebuild::<Resolve>(value, &|part| stock.resolve_templates(part, runtime_inputs))
}

/// Only the sanitising: what stock's `sanitize_input` returns in the context
/// `python_exec`, with every dict and list rebuilt.
pub fn sanitize<'py>(
    value: &Bound<'py, PyAny>,
    stock: &StockFunctions,
) -> PyResult<Bound<'py, PyAny>> {
    rebuild::<Sanitize>(value, &|part| stock.sanitize_input(part))
}

struct Resolve;

impl Rules for Resolve {
    const LISTS_REBUILT: bool = true;
    const TUPLES_BECOME_LISTS: bool = false;
    const SETS_STAY: bool = true;
    const OTHERS_STAY: bool = false;

    // SAFETY: a live `str`, as the trait demands of the caller.
    unsafe fn text_stays(text: *mut ffi::PyObject) -> bool {
        // SAFETY: passed on to the caller.
        !unsafe { text::has_template(text) }
    }

    // SAFETY: unsafe as in the trait only; the pointer is not looked at.
    unsafe fn key_stays(_: *mut ffi::PyObject) -> bool {
        true
    }
}

pub(super) struct Sanitize;

impl Rules for Sanitize {
    const LISTS_REBUILT: bool = true;
    const TUPLES_BECOME_LISTS: bool = false;
    const SETS_STAY: bool = true;
    const OTHERS_STAY: bool = false;

    // SAFETY: a live `str`, as the trait demands of the caller.
    unsafe fn text_stays(text: *mut ffi::PyObject) -> bool {
        // SAFETY: passed on to the caller.
        !unsafe { text::needs_sanitizing(text) }
    }

    // SAFETY: a live `str`, as the trait demands of the caller.
    unsafe fn key_stays(text: *mut ffi::PyObject) -> bool {
        // SAFETY: passed on to the caller.
        !unsafe { text::needs_sanitizing(text) }
    }
}

pub(super) struct ResolveAndSanitize;

impl Rules for ResolveAndSanitize {
    const LISTS_REBUILT: bool = true;
    const TUPLES_BECOME_LISTS: bool = false;
    const SETS_STAY: bool = true;
    const OTHERS_STAY: bool = false;

    // SAFETY: a live `str`, as the trait demands of the caller.
    unsafe fn text_stays(text: *mut ffi::PyObject) -> bool {
        // SAFETY: passed on to the caller.
        !unsafe { text::needs_attention(text) }
    }

    // SAFETY: a live `str`, as the trait demands of the caller.
    unsafe fn key_stays(text: *mut ffi::PyObject) -> bool {
        // SAFETY: passed on to the caller.
        !unsafe { text::needs_sanitizing(text) }
    }
}

/// [`resolve_and_sanitize`] where nothing has to be resolved, changed, or asked
/// of Python; `None` otherwise, and nothing has been done then.
#[inline]
pub fn sanitize_plain<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    match rebuild_native::<ResolveAndSanitize>(value) {
        Ok(rebuilt) => Ok(Some(rebuilt)),
        Err(Stop::Raised(error)) => Err(*error),
        Err(Stop::TooDeep | Stop::AskPython) => Ok(None),
    }
}
