//! Whether `json.dumps(value)` accepts a value, without doing it.

use super::{
    MAX_DEPTH,
    kind::{Kind, kind_of},
    walk::{any_entry, any_item, tuple_items},
};
use pyo3::{ffi, prelude::*};

/// What a native walk found out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Yes,
    /// It is not decided here: do what stock does, in Python.
    AskPython,
}

impl Verdict {
    #[inline]
    fn yes_if(condition: bool) -> Self {
        if condition {
            Self::Yes
        } else {
            Self::AskPython
        }
    }
}

/// Whether `json.dumps(value)` with default arguments surely succeeds.
#[inline]
pub fn is_json_serializable(value: &Bound<'_, PyAny>) -> Verdict {
    // SAFETY: `value` is alive.
    Verdict::yes_if(unsafe { accepts(value.py(), value.as_ptr(), 0) })
}

/// # Safety
/// `object` must be alive until the first call that can run Python code; there
/// is none in here.
unsafe fn accepts(py: Python<'_>, object: *mut ffi::PyObject, depth: u32) -> bool {
    // SAFETY: passed on to the caller; the walk owns what it descends into.
    unsafe {
        match kind_of(object) {
            Kind::Text | Kind::Float | Kind::Bool | Kind::None => true,
            Kind::Int => int_has_short_form(object) == Verdict::Yes,
            Kind::Dict => {
                depth < MAX_DEPTH
                    && !any_entry(&Bound::from_borrowed_ptr(py, object), |key, value| {
                        !(accepts_key(key) && accepts(py, value, depth + 1))
                    })
            }
            Kind::List => {
                depth < MAX_DEPTH
                    && !any_item(&Bound::from_borrowed_ptr(py, object), |item| {
                        !accepts(py, item, depth + 1)
                    })
            }
            Kind::Tuple => {
                depth < MAX_DEPTH
                    && tuple_items(&Bound::from_borrowed_ptr(py, object))
                        .all(|item| accepts(py, item, depth + 1))
            }
            Kind::Set | Kind::Other => false,
        }
    }
}

/// # Safety
/// `key` must be alive.
#[inline]
unsafe fn accepts_key(key: *mut ffi::PyObject) -> bool {
    // SAFETY: passed on to the caller; the int is one.
    unsafe {
        match kind_of(key) {
            Kind::Int => int_has_short_form(key) == Verdict::Yes,
            kind => kind.is_plain_key(),
        }
    }
}

/// Whether an int is so short that `sys.set_int_max_str_digits`, which allows no
/// limit below 640 digits, never forbids to write it out.
///
/// # Safety
/// `int` must be a live exact int.
#[inline]
pub(super) unsafe fn int_has_short_form(int: *mut ffi::PyObject) -> Verdict {
    let mut overflow = 0;
    // SAFETY: the object is an int, so the call sets no error.
    unsafe { ffi::PyLong_AsLongLongAndOverflow(int, &raw mut overflow) };
    if overflow == 0 {
        return Verdict::Yes;
    }
    // A double holds 309 digits at most.
    // SAFETY: the object is an int; an error is one that this call has set.
    unsafe {
        ffi::PyLong_AsDouble(int);
        if !ffi::PyErr_Occurred().is_null() {
            ffi::PyErr_Clear();
            return Verdict::AskPython;
        }
    }
    Verdict::Yes
}
