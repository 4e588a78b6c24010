//! Context variables of Python code around a node.

use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;

/// A context variable that has a value until this is dropped.
pub(super) struct SetVariable<'py> {
    variable: Bound<'py, PyAny>,
    token: Bound<'py, PyAny>,
}

impl<'py> SetVariable<'py> {
    pub(super) fn new(
        variable: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<SetVariable<'py>> {
        let py = variable.py();
        // SAFETY: attached; anything but a context variable is refused with an exception.
        // A new reference, or null with an error set.
        let token = unsafe {
            Bound::from_owned_ptr_or_err(
                py,
                ffi::PyContextVar_Set(variable.as_ptr(), value.as_ptr()),
            )?
        };
        Ok(Self {
            variable: variable.clone(),
            token,
        })
    }
}

impl Drop for SetVariable<'_> {
    fn drop(&mut self) {
        let py = self.variable.py();
        // What was raised meanwhile stays as it is.
        // SAFETY: attached; the token is of this variable, set in this context.
        let status =
            unsafe { ffi::PyContextVar_Reset(self.variable.as_ptr(), self.token.as_ptr()) };
        if status < 0 {
            PyErr::fetch(py).write_unraisable(py, None);
        }
    }
}

/// What a context variable is in the calling context, if it has a value there.
pub(super) fn variable_value<'py>(
    variable: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = variable.py();
    let mut value = ptr::null_mut();
    // SAFETY: attached; anything but a context variable is refused with an exception; a
    // valid place for the result, which is a new reference or null.
    let status =
        unsafe { ffi::PyContextVar_Get(variable.as_ptr(), ptr::null_mut(), &raw mut value) };
    if status < 0 {
        return Err(PyErr::fetch(py));
    }
    // SAFETY: as above.
    Ok(unsafe { Bound::from_owned_ptr_or_opt(py, value) })
}
