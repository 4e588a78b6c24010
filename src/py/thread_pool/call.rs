//! What a task does: one call, in a context of its own.

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::py::engine::{Ask, call_object, vectorcall};

/// A call to be made later.
pub(super) struct Call {
    function: Py<PyAny>,
    args: Option<Py<PyTuple>>,
    kwargs: Option<Py<PyDict>>,
    context: Option<Py<PyAny>>,
}

/// How a call ended.
pub(super) enum Outcome {
    Returned(Py<PyAny>),
    /// An instance of `BaseException`.
    Raised(Py<PyAny>),
}

impl Call {
    /// With a copy of the calling thread's context variables, if they are carried.
    pub(super) fn new(
        function: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
        carries_context: bool,
    ) -> PyResult<Self> {
        let py = function.py();
        let context = if carries_context {
            // SAFETY: attached; returns a new reference or null with an error set.
            let copy = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent())? };
            Some(copy.unbind())
        } else {
            None
        };
        Ok(Self {
            function: function.clone().unbind(),
            args: (!args.is_empty()).then(|| args.clone().unbind()),
            kwargs: kwargs
                .filter(|kwargs| !kwargs.is_empty())
                .map(|kwargs| kwargs.clone().unbind()),
            context,
        })
    }

    /// In a context of its own, for whoever makes it in the middle of another call,
    /// and must not find its own variables changed.
    pub(super) fn apart(mut self, py: Python<'_>) -> Self {
        if self.context.is_none() {
            // SAFETY: attached; returns a new reference or null with an error set.
            let copy = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent()) };
            // Without memory for it, it runs as it is.
            self.context = copy.ok().map(Bound::unbind);
        }
        self
    }

    pub(super) fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.function)?;
        visit.call(&self.args)?;
        visit.call(&self.kwargs)?;
        visit.call(&self.context)
    }

    pub(super) fn make(self, py: Python<'_>) -> Outcome {
        let Some(context) = &self.context else {
            return self.invoke(py);
        };
        // SAFETY: attached; a context that nobody else enters.
        if unsafe { ffi::PyContext_Enter(context.as_ptr()) } < 0 {
            return Outcome::Raised(take_exception(py));
        }
        let outcome = self.invoke(py);
        // SAFETY: attached; the context that this thread has entered last.
        if unsafe { ffi::PyContext_Exit(context.as_ptr()) } < 0 {
            // The function has left it, or entered another, which it may not.
            return Outcome::Raised(take_exception(py));
        }
        outcome
    }

    fn invoke(&self, py: Python<'_>) -> Outcome {
        let function = self.function.as_ptr();
        let null = std::ptr::null_mut();
        let result = match (&self.args, &self.kwargs) {
            // SAFETY: attached; a callable without arguments.
            (None, None) => unsafe { vectorcall(function, std::ptr::null(), 0, null) },
            (args, kwargs) => {
                let empty = PyTuple::empty(py);
                let args = args.as_ref().map_or(empty.as_ptr(), Py::as_ptr);
                let kwargs = kwargs.as_ref().map_or(null, Py::as_ptr);
                // SAFETY: attached; a callable, a tuple, and a dict or null.
                unsafe { call_object(function, args, kwargs) }
            }
        };
        // SAFETY: attached; a new reference, or null with an error set.
        match unsafe { Bound::from_owned_ptr_or_opt(py, result) } {
            Some(result) => Outcome::Returned(result.unbind()),
            None => Outcome::Raised(take_exception(py)),
        }
    }
}

/// The exception that is set, as an object with its traceback.
///
/// Not by way of `PyErr`, which would go on with a panic that another extension
/// module has turned into an exception.
pub(super) fn take_exception(py: Python<'_>) -> Py<PyAny> {
    #[cfg(Py_3_12)]
    // SAFETY: attached; a new reference, or null where nothing is set.
    let exception = unsafe { Bound::from_owned_ptr_or_opt(py, ffi::PyErr_GetRaisedException()) };
    #[cfg(not(Py_3_12))]
    // SAFETY: attached; the three are new references or null.
    let exception = unsafe {
        let (mut kind, mut value, mut traceback) = (
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        );
        ffi::PyErr_Fetch(&raw mut kind, &raw mut value, &raw mut traceback);
        ffi::PyErr_NormalizeException(&raw mut kind, &raw mut value, &raw mut traceback);
        if !traceback.is_null() && !value.is_null() {
            ffi::PyException_SetTraceback(value, traceback);
        }
        ffi::Py_XDECREF(kind);
        ffi::Py_XDECREF(traceback);
        Bound::from_owned_ptr_or_opt(py, value)
    };
    match exception {
        Some(exception) => exception.unbind(),
        None => pyo3::exceptions::PySystemError::new_err("a call failed without an exception")
            .into_value(py)
            .into_any(),
    }
}

/// Raises an exception object as `raise` does, in the context of one being handled.
pub(super) fn raised(py: Python<'_>, exception: &Py<PyAny>) -> PyErr {
    let bound = exception.bind(py);
    // SAFETY: attached; an exception's type and the exception, or an exception's
    // class. Taking it out again returns the same object, or an instance.
    unsafe {
        if ffi::PyExceptionInstance_Check(bound.as_ptr()) != 0 {
            ffi::PyErr_SetObject(bound.get_type().as_ptr().cast(), bound.as_ptr());
        } else if ffi::PyExceptionClass_Check(bound.as_ptr()) != 0 {
            ffi::PyErr_SetNone(bound.as_ptr());
        } else {
            // Set by hand, by somebody who took it for one.
            return PyTypeError::new_err("exceptions must derive from BaseException");
        }
    }
    PyErr::from_value(take_exception(py).into_bound(py))
}

/// Calls `function` with each tuple of arguments, up to the first that raises.
#[pyfunction(name = "_run_chunk")]
pub(super) fn run_chunk<'py>(
    function: &Bound<'py, PyAny>,
    items: Vec<Bound<'py, PyTuple>>,
) -> (Vec<Bound<'py, PyAny>>, Option<Py<PyAny>>) {
    let mut results = Vec::with_capacity(items.len());
    for item in items {
        match function.invoke(item) {
            Ok(result) => results.push(result),
            Err(error) => {
                let error = crate::py::errors::exception(function.py(), &error);
                return (results, Some(error.into_any().unbind()));
            }
        }
    }
    (results, None)
}
