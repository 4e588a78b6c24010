//! `FunctionWrapper._ensure_json_serializable` of `kailash.nodes.code.python`:
//! what a function returned, as JSON could hold it.

use super::rebuild::{Rules, rebuild};
use crate::py::engine::Ask;
use pyo3::{ffi, prelude::*};

/// Plain values as they are, dicts rebuilt with the same keys, lists and tuples
/// as new lists, and for everything else what `stock_fallback` returns for it.
#[inline]
pub fn ensure_json_serializable<'py>(
    value: &Bound<'py, PyAny>,
    stock_fallback: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    rebuild::<Serializable>(value, &|part| stock_fallback.invoke((part,)))
}

struct Serializable;

impl Rules for Serializable {
    const LISTS_REBUILT: bool = true;
    const TUPLES_BECOME_LISTS: bool = true;
    const SETS_STAY: bool = false;
    const OTHERS_STAY: bool = false;

    // SAFETY: unsafe as in the trait only; the pointer is not looked at.
    unsafe fn text_stays(_: *mut ffi::PyObject) -> bool {
        true
    }

    // SAFETY: unsafe as in the trait only; the pointer is not looked at.
    unsafe fn key_stays(_: *mut ffi::PyObject) -> bool {
        true
    }
}
