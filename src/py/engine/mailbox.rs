//! What worker threads have to tell an event loop, in one wake-up for many.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::intern;
use pyo3::prelude::*;

use crate::core::locks::Mutex;

use super::hang::Ask;

/// Calls callbacks on its event loop: the loop is woken for the first of them,
/// and finds all that have come since.
#[pyclass(frozen, weakref, module = "nexus_core")]
pub(crate) struct LoopMailbox {
    /// The loop's `call_soon_threadsafe`.
    wake: Py<PyAny>,
    waiting: Mutex<Vec<Py<PyAny>>>,
    is_woken: AtomicBool,
}

impl LoopMailbox {
    /// Has `callback` called on the loop. Without a loop any more, nobody is
    /// left to be told: then this is `false`.
    pub(crate) fn post(slf: &Bound<'_, Self>, callback: Py<PyAny>) -> PyResult<bool> {
        let this = slf.get();
        this.waiting.lock().push(callback);
        if this.is_woken.swap(true, Ordering::AcqRel) {
            return Ok(true);
        }
        let py = slf.py();
        let woken = slf
            .getattr(intern!(py, "deliver"))
            .and_then(|deliver| this.wake.bind(py).invoke((deliver,)));
        if woken.is_err() {
            this.is_woken.store(false, Ordering::Release);
        }
        match woken {
            Ok(_) => Ok(true),
            Err(closed) if closed.get_type(py).is(py.get_type::<PyRuntimeError>()) => {
                let unheard = std::mem::take(&mut *this.waiting.lock());
                drop(unheard);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

#[pymethods]
impl LoopMailbox {
    /// `wake`: the loop's `call_soon_threadsafe`.
    #[new]
    fn new(wake: Py<PyAny>) -> Self {
        Self {
            wake,
            waiting: Mutex::new(Vec::new()),
            is_woken: AtomicBool::new(false),
        }
    }

    /// Has `callback` called on the loop, soon; from any thread.
    #[pyo3(name = "post")]
    fn post_from_python(slf: &Bound<'_, Self>, callback: Py<PyAny>) -> PyResult<()> {
        Self::post(slf, callback).map(|_| ())
    }

    /// Called on the loop.
    fn deliver(&self, py: Python<'_>) -> PyResult<()> {
        // First this: what is posted from now on wakes the loop again.
        self.is_woken.store(false, Ordering::Release);
        let callbacks = std::mem::take(&mut *self.waiting.lock());
        let mut interruption = Ok(());
        for callback in callbacks {
            match callback.bind(py).invoke(()) {
                Ok(_) => {}
                Err(error) if error.is_instance_of::<PyException>(py) => {
                    error.write_unraisable(py, Some(callback.bind(py)));
                }
                Err(error) => interruption = Err(error),
            }
        }
        interruption
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.wake)?;
        if let Some(waiting) = self.waiting.try_lock() {
            waiting
                .iter()
                .try_for_each(|callback| visit.call(callback))?;
        }
        Ok(())
    }
}
