//! Calls into the interpreter that a worker thread may never come back from.
//!
//! While the interpreter shuts down, a thread that wants its lock back is ended
//! with `pthread_exit` (until Python 3.14, which makes it wait for ever). The
//! unwinding must not pass through Rust frames, so it stops here: the thread
//! sleeps until the process is gone, as newer Pythons do it.

use std::ffi::c_int;

use pyo3::BoundObject;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

mod raw {
    use pyo3::ffi::PyObject;

    // SAFETY: types of functions of CPython's; whoever calls one keeps its contract.
    pub type Vectorcall = unsafe extern "C-unwind" fn(
        *mut PyObject,
        *const *mut PyObject,
        usize,
        *mut PyObject,
    ) -> *mut PyObject;
    // SAFETY: as above.
    pub type ThreeObjects =
        unsafe extern "C-unwind" fn(*mut PyObject, *mut PyObject, *mut PyObject) -> *mut PyObject;

    // SAFETY: declared as in CPython's headers; "unwind" because a thread may be
    // ended in there.
    unsafe extern "C-unwind" {
        pub fn PyObject_Vectorcall(
            callable: *mut PyObject,
            args: *const *mut PyObject,
            nargsf: usize,
            kwnames: *mut PyObject,
        ) -> *mut PyObject;
        pub fn PyObject_Call(
            callable: *mut PyObject,
            args: *mut PyObject,
            kwargs: *mut PyObject,
        ) -> *mut PyObject;
        pub fn PyEval_EvalCode(
            code: *mut PyObject,
            globals: *mut PyObject,
            locals: *mut PyObject,
        ) -> *mut PyObject;
    }
}

/// The function behind a pointer that the optimiser cannot follow.
///
/// pyo3 declares the same functions as never unwinding, and once all crates are
/// optimised together that declaration would hold for the calls here too.
#[inline]
fn may_unwind<F>(function: F) -> F {
    std::hint::black_box(function)
}

struct HangInsteadOfUnwinding;

impl Drop for HangInsteadOfUnwinding {
    fn drop(&mut self) {
        loop {
            std::thread::park();
        }
    }
}

/// `PyObject_Vectorcall`, safe to call from a thread that outlives the interpreter.
///
/// # Safety
/// As for `PyObject_Vectorcall`.
#[inline]
pub(crate) unsafe fn vectorcall(
    callable: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargsf: usize,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let guard = HangInsteadOfUnwinding;
    // SAFETY: passed on from the caller.
    let result = unsafe {
        may_unwind(raw::PyObject_Vectorcall as raw::Vectorcall)(callable, args, nargsf, kwnames)
    };
    std::mem::forget(guard);
    result
}

/// `PyObject_Call`, safe to call from a thread that outlives the interpreter.
///
/// # Safety
/// As for `PyObject_Call`.
#[inline]
pub(crate) unsafe fn call_object(
    callable: *mut ffi::PyObject,
    args: *mut ffi::PyObject,
    kwargs: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let guard = HangInsteadOfUnwinding;
    // SAFETY: passed on from the caller.
    let result =
        unsafe { may_unwind(raw::PyObject_Call as raw::ThreeObjects)(callable, args, kwargs) };
    std::mem::forget(guard);
    result
}

/// `PyEval_EvalCode`, safe to call from a thread that outlives the interpreter.
///
/// # Safety
/// As for `PyEval_EvalCode`.
#[inline]
pub(crate) unsafe fn eval_code(
    code: *mut ffi::PyObject,
    globals: *mut ffi::PyObject,
    locals: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let guard = HangInsteadOfUnwinding;
    // SAFETY: passed on from the caller.
    let result =
        unsafe { may_unwind(raw::PyEval_EvalCode as raw::ThreeObjects)(code, globals, locals) };
    std::mem::forget(guard);
    result
}

/// Calls of Python code that a worker thread may never come back from.
pub(crate) trait Ask<'py> {
    /// Calls the object with positional arguments.
    fn invoke<A>(&self, args: A) -> PyResult<Bound<'py, PyAny>>
    where
        A: IntoPyObject<'py, Target = PyTuple>;

    /// Calls the object with keyword arguments.
    fn invoke_with(&self, keywords: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>>;

    /// Calls a method with positional arguments.
    fn ask<N, A>(&self, method: N, args: A) -> PyResult<Bound<'py, PyAny>>
    where
        N: IntoPyObject<'py, Target = PyString>,
        A: IntoPyObject<'py, Target = PyTuple>;

    /// Calls a method with keyword arguments.
    fn ask_with<N>(&self, method: N, keywords: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>>
    where
        N: IntoPyObject<'py, Target = PyString>;
}

fn call<'py>(
    callable: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let keywords = keywords.map_or(std::ptr::null_mut(), Bound::as_ptr);
    // SAFETY: attached; a callable, a tuple, and a dict or null, all alive.
    let result = unsafe { call_object(callable.as_ptr(), args.as_ptr(), keywords) };
    // SAFETY: a new reference, or null with an error set.
    unsafe { Bound::from_owned_ptr_or_err(callable.py(), result) }
}

impl<'py> Ask<'py> for Bound<'py, PyAny> {
    fn invoke<A>(&self, args: A) -> PyResult<Bound<'py, PyAny>>
    where
        A: IntoPyObject<'py, Target = PyTuple>,
    {
        let args = args
            .into_pyobject(self.py())
            .map_err(Into::into)?
            .into_bound();
        call(self, &args, None)
    }

    fn invoke_with(&self, keywords: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
        call(self, &PyTuple::empty(self.py()), Some(keywords))
    }

    fn ask<N, A>(&self, method: N, args: A) -> PyResult<Bound<'py, PyAny>>
    where
        N: IntoPyObject<'py, Target = PyString>,
        A: IntoPyObject<'py, Target = PyTuple>,
    {
        self.getattr(method)?.invoke(args)
    }

    fn ask_with<N>(&self, method: N, keywords: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>>
    where
        N: IntoPyObject<'py, Target = PyString>,
    {
        self.getattr(method)?.invoke_with(keywords)
    }
}

/// Turns a C-API status into a result.
#[inline]
pub(crate) fn check_status(py: Python<'_>, status: c_int) -> PyResult<()> {
    if status < 0 {
        Err(PyErr::fetch(py))
    } else {
        Ok(())
    }
}
