//! When two keys are one, as a dict has it.

use std::convert::Infallible;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyString, PyTuple};

use crate::core::cache::Question;

/// Tuples in tuples are compared natively down to here.
const DEPTH: usize = 8;

/// Kinds of keys that compare without running anybody's code, and are never equal to one
/// of another kind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plain {
    Text,
    Bytes,
    Number,
    Tuple,
    None,
}

#[inline]
fn plain(key: &Bound<'_, PyAny>) -> Option<Plain> {
    if key.is_exact_instance_of::<PyString>() {
        Some(Plain::Text)
    } else if key.is_exact_instance_of::<PyInt>()
        || key.is_exact_instance_of::<PyBool>()
        || key.is_exact_instance_of::<PyFloat>()
    {
        Some(Plain::Number)
    } else if key.is_exact_instance_of::<PyTuple>() {
        Some(Plain::Tuple)
    } else if key.is_exact_instance_of::<PyBytes>() {
        Some(Plain::Bytes)
    } else if key.is_none() {
        Some(Plain::None)
    } else {
        None
    }
}

/// Whether two keys are equal, if that can be told without running anybody's code.
#[inline]
pub(super) fn tell(one: &Bound<'_, PyAny>, other: &Bound<'_, PyAny>) -> Option<bool> {
    if one.is(other) {
        return Some(true);
    }
    tell_apart(one, other, DEPTH)
}

fn tell_apart(one: &Bound<'_, PyAny>, other: &Bound<'_, PyAny>, depth: usize) -> Option<bool> {
    let kind = plain(one)?;
    if kind != plain(other)? {
        return Some(false);
    }
    match kind {
        Plain::None => Some(true),
        Plain::Text | Plain::Number => {
            // Floats know how to compare with integers, and not the other way round.
            if other.is_exact_instance_of::<PyFloat>() {
                compare(other, one)
            } else {
                compare(one, other)
            }
        }
        Plain::Bytes => {
            let one = one.cast_exact::<PyBytes>().ok()?;
            let other = other.cast_exact::<PyBytes>().ok()?;
            Some(one.as_bytes() == other.as_bytes())
        }
        Plain::Tuple => {
            let one = one.cast_exact::<PyTuple>().ok()?;
            let other = other.cast_exact::<PyTuple>().ok()?;
            if one.len() != other.len() {
                return Some(false);
            }
            if depth == 0 {
                return None;
            }
            // One element that must be asked leaves the whole to be asked, in its order.
            for (mine, theirs) in one.iter_borrowed().zip(other.iter_borrowed()) {
                if !mine.is(&*theirs) && !tell_apart(&mine, &theirs, depth - 1)? {
                    return Some(false);
                }
            }
            Some(true)
        }
    }
}

/// What the type of the first says: of two texts, or of two numbers of the built-in types.
///
/// `PyObject_RichCompareBool` would look at the depth of the stack before, and at its limit
/// make an error: an allocation, with which the garbage collector may begin.
fn compare(one: &Bound<'_, PyAny>, other: &Bound<'_, PyAny>) -> Option<bool> {
    // SAFETY: attached, and both are alive. The comparison of these types runs no Python
    // code and allocates nothing that is collected; what it returns is owned here.
    unsafe {
        let compare = (*ffi::Py_TYPE(one.as_ptr())).tp_richcompare?;
        let told = compare(one.as_ptr(), other.as_ptr(), ffi::Py_EQ);
        if told.is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        let (yes, no) = (told == ffi::Py_True(), told == ffi::Py_False());
        ffi::Py_DECREF(told);
        (yes || no).then_some(yes)
    }
}

/// A key as its user asks for it.
pub(super) struct Wanted<'a, 'py>(pub(super) &'a Bound<'py, PyAny>);

impl Question<Py<PyAny>> for Wanted<'_, '_> {
    type Error = PyErr;

    #[inline]
    fn tell(&self, key: &Py<PyAny>) -> Option<bool> {
        tell(key.bind(self.0.py()), self.0)
    }

    fn copy(&self, key: &Py<PyAny>) -> Py<PyAny> {
        key.clone_ref(self.0.py())
    }

    fn ask(&self, key: &Py<PyAny>) -> PyResult<bool> {
        key.bind(self.0.py()).eq(self.0)
    }
}

/// This very object.
pub(super) struct Itself<'a, 'py>(pub(super) &'a Bound<'py, PyAny>);

impl Question<Py<PyAny>> for Itself<'_, '_> {
    type Error = Infallible;

    fn tell(&self, key: &Py<PyAny>) -> Option<bool> {
        Some(key.is(self.0))
    }

    fn copy(&self, key: &Py<PyAny>) -> Py<PyAny> {
        key.clone_ref(self.0.py())
    }

    fn ask(&self, _: &Py<PyAny>) -> Result<bool, Infallible> {
        Ok(false)
    }
}
