//! Reading the containers of the caller in place, where no Python code can run.

use pyo3::{ffi, prelude::*, sync::critical_section::with_critical_section};

/// Whether `test` holds for an entry (key, value) of an exact dict, which it
/// must not run Python code on.
pub(in crate::py) fn any_entry(
    dict: &Bound<'_, PyAny>,
    mut test: impl FnMut(*mut ffi::PyObject, *mut ffi::PyObject) -> bool,
) -> bool {
    with_critical_section(dict, || {
        let mut position = 0;
        let mut key = std::ptr::null_mut();
        let mut value = std::ptr::null_mut();
        // SAFETY: `dict` is an exact dict that the caller keeps alive, locked
        // where there is no GIL; PyDict_Next copes with a dict that changes.
        while unsafe {
            ffi::PyDict_Next(
                dict.as_ptr(),
                &raw mut position,
                &raw mut key,
                &raw mut value,
            )
        } != 0
        {
            if test(key, value) {
                return true;
            }
        }
        false
    })
}

/// Whether `test` holds for an item of an exact list, which it must not run
/// Python code on.
pub(in crate::py) fn any_item(
    list: &Bound<'_, PyAny>,
    mut test: impl FnMut(*mut ffi::PyObject) -> bool,
) -> bool {
    with_critical_section(list, || {
        let mut index = 0;
        // SAFETY: `list` is an exact list that the caller keeps alive, locked
        // where there is no GIL; the size is read again for every item.
        while index < unsafe { ffi::PyList_GET_SIZE(list.as_ptr()) } {
            // SAFETY: the index was checked just now.
            if test(unsafe { ffi::PyList_GET_ITEM(list.as_ptr(), index) }) {
                return true;
            }
            index += 1;
        }
        false
    })
}

/// The items of an exact tuple, which holds them as long as it lives.
pub(super) fn tuple_items(
    tuple: &Bound<'_, PyAny>,
) -> impl ExactSizeIterator<Item = *mut ffi::PyObject> {
    let tuple = tuple.as_ptr();
    // SAFETY: `tuple` is an exact tuple that the caller keeps alive.
    let size = unsafe { ffi::PyTuple_GET_SIZE(tuple) }.cast_unsigned();
    (0..size).map(move |index| {
        // SAFETY: the index is below the size, and tuples never change.
        unsafe { ffi::PyTuple_GET_ITEM(tuple, index.cast_signed()) }
    })
}
