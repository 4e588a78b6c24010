//! Calls into the interpreter that a worker thread may never come back from.
//!
//! While the interpreter shuts down, a thread that wants its lock back is ended
//! with `pthread_exit` (until Python 3.14, which makes it wait for ever). The
//! unwinding must not pass through Rust frames, so it stops here: the thread
//! sleeps until the process is gone, as newer Pythons do it.

use pyo3::ffi;
use std::ffi::c_int;

mod raw {
    use pyo3::ffi::PyObject;

    // SAFETY: declared as in CPython's headers; "unwind" because a thread may be
    // ended in there.
    unsafe extern "C-unwind" {
        pub fn PyObject_Vectorcall(
            callable: *mut PyObject,
            args: *const *mut PyObject,
            nargsf: usize,
            kwnames: *mut PyObject,
        ) -> *mut PyObject;
        pub fn PyEval_EvalCode(
            code: *mut PyObject,
            globals: *mut PyObject,
            locals: *mut PyObject,
        ) -> *mut PyObject;
    }
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
    let result = unsafe { raw::PyObject_Vectorcall(callable, args, nargsf, kwnames) };
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
    let result = unsafe { raw::PyEval_EvalCode(code, globals, locals) };
    std::mem::forget(guard);
    result
}

/// Turns a C-API status into a result.
#[inline]
pub(crate) fn check_status(py: pyo3::Python<'_>, status: c_int) -> pyo3::PyResult<()> {
    if status < 0 {
        Err(pyo3::PyErr::fetch(py))
    } else {
        Ok(())
    }
}
