//! `DataTypeValidator.validate_node_output` of `kailash.utils.data_validation`,
//! which an output passes on its way along an edge: nested dicts are rebuilt,
//! and two suspicious shapes of lists are warned about.

use super::{
    MAX_DEPTH, StockFunctions, Verdict,
    json_check::int_has_short_form,
    kind::{Kind, kind_of},
    rebuild::{Rules, Stop, rebuild_native},
    text::{Units, units},
    walk::{any_entry, any_item},
};
use pyo3::{exceptions::PyValueError, ffi, prelude::*, types::PyDict};

/// What stock returns for `output`, with its warnings.
#[inline]
pub fn validate_node_output<'py>(
    node_id: &Bound<'py, PyAny>,
    output: &Bound<'py, PyAny>,
    stock: &StockFunctions,
) -> PyResult<Bound<'py, PyAny>> {
    match output.cast::<PyDict>() {
        Ok(dict) if output_is_clean(dict) => copy_validated(output),
        _ => stock.validate_node_output(node_id, output),
    }
}

/// Whether stock would log no warning about `output` and it holds nothing that
/// is stock's to decide, so that [`copy_validated`] does all that stock does.
#[inline]
pub fn output_is_clean(output: &Bound<'_, PyDict>) -> bool {
    // SAFETY: `output` is alive.
    let is_exact = unsafe { kind_of(output.as_ptr()) } == Kind::Dict;
    is_exact && dict_is_clean(output, true, 0)
}

/// An output that [`output_is_clean`], with its dicts rebuilt and its lists
/// shared.
///
/// # Errors
/// `ValueError` for a value that is not clean.
#[inline]
pub fn copy_validated<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    rebuild_native::<Validated>(value).map_err(|stop| match stop {
        Stop::Raised(error) => *error,
        Stop::TooDeep | Stop::AskPython => PyValueError::new_err(
            "only an output that was found clean can be copied; ask Kailash about this one",
        ),
    })
}

fn dict_is_clean(dict: &Bound<'_, PyAny>, is_output: bool, depth: u32) -> bool {
    !any_entry(dict, |key, value| {
        // SAFETY: the dict holds both, and no Python code runs in here.
        unsafe { !(key_has_name(key) && value_is_clean(dict.py(), key, value, is_output, depth)) }
    })
}

/// # Safety
/// `key` and `value` must be alive.
unsafe fn value_is_clean(
    py: Python<'_>,
    key: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    is_output: bool,
    depth: u32,
) -> bool {
    // SAFETY: passed on to the caller; the walk owns what it descends into.
    unsafe {
        match kind_of(value) {
            Kind::Dict => {
                depth + 1 < MAX_DEPTH
                    && dict_is_clean(&Bound::from_borrowed_ptr(py, value), false, depth + 1)
            }
            // The name of a nested value has a dot in it, so that only a key of
            // the output itself is called "result".
            Kind::List => list_is_clean(
                &Bound::from_borrowed_ptr(py, value),
                is_output && is_result(key),
            ),
            // Its `__class__` may claim to be a dict.
            Kind::Other => false,
            _ => true,
        }
    }
}

/// Whether all items have the type of the first and, for the list called
/// "result", are surely not all strings (which an empty list's are).
fn list_is_clean(list: &Bound<'_, PyAny>, is_result: bool) -> bool {
    let mut first: Option<*mut ffi::PyTypeObject> = None;
    let mut first_kind = Kind::Text;
    let mixed = any_item(list, |item| {
        // SAFETY: the list holds the item, and no Python code runs in here.
        unsafe {
            let class = ffi::Py_TYPE(item);
            let expected = *first.get_or_insert_with(|| {
                first_kind = kind_of(item);
                class
            });
            class != expected
        }
    });
    let maybe_strings = matches!(first_kind, Kind::Text | Kind::Other);
    !(mixed || (is_result && maybe_strings))
}

/// Whether stock can name the value under this key, which it does by formatting
/// the key, without running code or failing.
///
/// # Safety
/// `key` must be alive.
unsafe fn key_has_name(key: *mut ffi::PyObject) -> bool {
    // SAFETY: passed on to the caller; the int is one.
    unsafe {
        match kind_of(key) {
            Kind::Int => int_has_short_form(key) == Verdict::Yes,
            kind => kind.is_plain_key(),
        }
    }
}

/// # Safety
/// `key` must be alive.
unsafe fn is_result(key: *mut ffi::PyObject) -> bool {
    // SAFETY: passed on to the caller; the buffer of a str is only read here.
    unsafe {
        kind_of(key) == Kind::Text
            && match units(key) {
                Some(Units::One(name)) => name == b"result",
                Some(_) => false,
                None => true,
            }
    }
}

struct Validated;

impl Rules for Validated {
    const LISTS_REBUILT: bool = false;
    const TUPLES_BECOME_LISTS: bool = false;
    const SETS_STAY: bool = true;
    const OTHERS_STAY: bool = true;

    // SAFETY: unsafe as in the trait only; the pointer is not looked at.
    unsafe fn text_stays(_: *mut ffi::PyObject) -> bool {
        true
    }

    // SAFETY: unsafe as in the trait only; the pointer is not looked at.
    unsafe fn key_stays(_: *mut ffi::PyObject) -> bool {
        true
    }
}
