//! How deeply a value is nested.

use super::{
    MAX_DEPTH,
    kind::{Kind, kind_of},
    walk::{any_entry, any_item, tuple_items},
};
use pyo3::{ffi, prelude::*};

/// Whether the exact dicts and lists in `value` (and its tuples, if
/// `TUPLES`) are nested too deeply for a native walk.
pub(super) fn is_too_deep<const TUPLES: bool>(value: &Bound<'_, PyAny>) -> bool {
    // SAFETY: `value` is alive.
    unsafe { too_deep::<TUPLES>(value.py(), value.as_ptr(), 0) }
}

/// # Safety
/// `object` must be alive until the first call that can run Python code; there
/// is none in here.
unsafe fn too_deep<const TUPLES: bool>(
    py: Python<'_>,
    object: *mut ffi::PyObject,
    depth: u32,
) -> bool {
    // SAFETY: `object` is alive.
    let kind = unsafe { kind_of(object) };
    let nests = match kind {
        Kind::Dict | Kind::List => true,
        Kind::Tuple => TUPLES,
        _ => false,
    };
    if !nests {
        return false;
    }
    if depth >= MAX_DEPTH {
        return true;
    }
    // SAFETY: `object` is alive; the walk owns it from here on.
    let object = unsafe { Bound::from_borrowed_ptr(py, object) };
    match kind {
        Kind::Dict => any_entry(&object, |_, value| {
            // SAFETY: the dict holds the value.
            unsafe { too_deep::<TUPLES>(py, value, depth + 1) }
        }),
        Kind::List => any_item(&object, |item| {
            // SAFETY: the list holds the item.
            unsafe { too_deep::<TUPLES>(py, item, depth + 1) }
        }),
        _ => tuple_items(&object).any(|item| {
            // SAFETY: the tuple holds the item.
            unsafe { too_deep::<TUPLES>(py, item, depth + 1) }
        }),
    }
}
