//! What in a value is there more than once: two lists that are equal are not one list
//! in two places, which shows as soon as somebody changes it.

use std::collections::HashMap;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFrozenSet, PyList, PySet, PyTuple};

use super::MAX_DEPTH;
use super::types::Types;
use crate::py::values::{any_entry, any_item};

/// What a walk has found out.
pub(super) enum Sharing {
    /// Nothing that can change is in two places.
    None,
    /// For each place of what was met before, its number and that of the first place.
    At(Vec<(usize, usize)>),
    /// Somebody else has to look: it holds objects of other types.
    Unknown,
}

struct Walk<'py> {
    py: Python<'py>,
    /// What more than one refer to, by address, and its number.
    met: HashMap<usize, usize>,
    again: Vec<(usize, usize)>,
    places: usize,
    /// Objects of other types: one by itself can be in two places only by its content.
    others: bool,
}

/// What in a value is there more than once. Runs no Python code, so that nothing is
/// freed meanwhile.
pub(super) fn sharing(value: &Bound<'_, PyAny>) -> PyResult<Sharing> {
    let mut walk = Walk {
        py: value.py(),
        met: HashMap::new(),
        again: Vec::new(),
        places: 0,
        others: false,
    };
    walk.value(value.as_ptr(), 0)?;
    Ok(if walk.others {
        Sharing::Unknown
    } else if walk.again.is_empty() {
        Sharing::None
    } else {
        Sharing::At(walk.again)
    })
}

impl Walk<'_> {
    fn value(&mut self, object: *mut ffi::PyObject, depth: usize) -> PyResult<()> {
        // SAFETY: the object is alive, held by its container; every object has a type.
        let class = unsafe { ffi::Py_TYPE(object) };
        if class == &raw mut ffi::PyUnicode_Type
            || class == &raw mut ffi::PyLong_Type
            || class == &raw mut ffi::PyFloat_Type
            || class == &raw mut ffi::PyBool_Type
            || class == &raw mut ffi::PyBytes_Type
            // SAFETY: `None` exists as long as the interpreter does.
            || object == unsafe { ffi::Py_None() }
        {
            return Ok(());
        }
        if depth > MAX_DEPTH {
            // It has no key either.
            return Ok(());
        }
        // SAFETY: as above.
        let value = unsafe { Bound::from_borrowed_ptr(self.py, object) };
        if let Ok(items) = value.cast_exact::<PyTuple>() {
            for item in items.iter_borrowed() {
                self.value(item.as_ptr(), depth + 1)?;
            }
            return Ok(());
        }
        if value.is_exact_instance_of::<PyFrozenSet>() {
            return self.elements(&value, depth);
        }
        let is_container = value.is_exact_instance_of::<PyDict>()
            || value.is_exact_instance_of::<PyList>()
            || value.is_exact_instance_of::<PySet>();
        if !is_container {
            let types = Types::get(self.py)?;
            let numpy = types.numpy(self.py)?;
            if types.is_unchanging(&value)
                || match numpy {
                    Some(numpy) => numpy.is_plain_scalar(&value)?,
                    None => false,
                }
            {
                return Ok(());
            }
            if !numpy.is_some_and(|numpy| value.get_type().is(numpy.array(self.py))) {
                self.others = true;
                return Ok(());
            }
        }
        if self.is_met(object) {
            return Ok(());
        }
        let mut failure = Ok(());
        if value.is_exact_instance_of::<PyDict>() {
            any_entry(&value, |key, held| {
                failure = self
                    .value(key, depth + 1)
                    .and_then(|()| self.value(held, depth + 1));
                failure.is_err()
            });
        } else if value.is_exact_instance_of::<PyList>() {
            any_item(&value, |item| {
                failure = self.value(item, depth + 1);
                failure.is_err()
            });
        } else if value.is_exact_instance_of::<PySet>() {
            failure = self.elements(&value, depth);
        }
        failure
    }

    /// Elements are hashed and so do not change, if they are of known types.
    fn elements(&mut self, set: &Bound<'_, PyAny>, depth: usize) -> PyResult<()> {
        // A copy holds them, whatever becomes of the set.
        let elements = set.py().get_type::<PyTuple>().call1((set,))?;
        for element in elements.cast_exact::<PyTuple>()?.iter_borrowed() {
            self.value(element.as_ptr(), depth + 1)?;
        }
        Ok(())
    }

    /// Numbers a place where something that can change is, and whether it was met before.
    fn is_met(&mut self, object: *mut ffi::PyObject) -> bool {
        let place = self.places;
        self.places += 1;
        // What only its container refers to, and the walk, is in one place.
        // SAFETY: the object is alive.
        if cfg!(not(Py_GIL_DISABLED)) && unsafe { ffi::Py_REFCNT(object) } <= 2 {
            return false;
        }
        if let Some(&first) = self.met.get(&(object as usize)) {
            self.again.push((place, first));
            return true;
        }
        self.met.insert(object as usize, place);
        false
    }
}
