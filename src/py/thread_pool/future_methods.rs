//! The methods and attributes that `concurrent.futures.Future` has.

use pyo3::exceptions::{PyRuntimeError, PyTimeoutError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyList, PyType};

use super::call::{Outcome, raised};
use super::completion::{self, Change, Changed};
use super::future::{FutureBase, State, clear, show};
use super::seen;
use super::waiting::{is_cancelled, wait};

fn cancelled_error(py: Python<'_>) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    match CLASS.import(py, "concurrent.futures", "CancelledError") {
        Ok(class) => PyErr::from_type(class.clone(), ()),
        Err(broken) => broken,
    }
}

impl FutureBase {
    fn set_by_hand(slf: &Bound<'_, Self>, outcome: Outcome) -> PyResult<()> {
        match completion::change(slf, Change::End(outcome))? {
            Changed::Yes { .. } => Ok(()),
            Changed::No(state) => {
                static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
                let class = CLASS.import(slf.py(), "concurrent.futures", "InvalidStateError")?;
                let text = format!("{}: {}", state.name(), show(slf)?);
                Err(PyErr::from_type(class.clone(), (text,)))
            }
        }
    }

    /// Waits for the end, and fails where there is none in time or it was cancelled.
    fn ended(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<()> {
        if !wait(slf, timeout)? {
            return Err(PyTimeoutError::new_err(()));
        }
        if is_cancelled(slf.get().state()) {
            return Err(cancelled_error(slf.py()));
        }
        Ok(())
    }
}

#[pymethods]
impl FutureBase {
    #[new]
    fn new() -> Self {
        Self::new_pending()
    }

    /// Cancels the task if it has not begun; whether it is cancelled.
    fn cancel(slf: &Bound<'_, Self>) -> PyResult<bool> {
        Ok(match completion::change(slf, Change::Cancel)? {
            Changed::Yes { .. } => true,
            Changed::No(state) => is_cancelled(state),
        })
    }

    /// Whether it was cancelled.
    fn cancelled(&self) -> bool {
        is_cancelled(self.state())
    }

    /// Whether it runs now.
    fn running(&self) -> bool {
        self.state() == State::Running
    }

    /// Whether it was cancelled or has ended.
    fn done(&self) -> bool {
        self.state().is_done()
    }

    /// Has `fn(future)` called once it is done, or at once if it is.
    fn add_done_callback(slf: &Bound<'_, Self>, r#fn: &Bound<'_, PyAny>) -> PyResult<()> {
        // Asked for before the lock is taken: it starts a watch.
        let interest = seen::interest();
        let callback = r#fn.clone().unbind();
        {
            let mut inner = slf.get().inner.lock();
            if !slf.get().state().is_done() {
                let extra = inner.extra();
                extra.interests.extend(interest);
                extra.callbacks.push(callback);
                return Ok(());
            }
        }
        completion::call_one_back(slf, r#fn)
    }

    /// What the task returned, once it has; what it raised is raised. A worker of the same
    /// pool runs a task that has not begun itself, unless there is a `timeout`.
    #[pyo3(signature = (timeout=None))]
    pub(super) fn result(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        Self::ended(slf, timeout)?;
        let py = slf.py();
        let inner = slf.get().inner.lock();
        let error = match &inner.outcome {
            Some(Outcome::Returned(result)) => return Ok(result.clone_ref(py)),
            Some(Outcome::Raised(error)) => error.clone_ref(py),
            // It was cleared: part of garbage.
            None => return Ok(py.None()),
        };
        drop(inner);
        Err(raised(py, &error))
    }

    /// What the task raised, once it is done, or `None`.
    #[pyo3(signature = (timeout=None))]
    fn exception(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Option<Py<PyAny>>> {
        Self::ended(slf, timeout)?;
        let inner = slf.get().inner.lock();
        Ok(match &inner.outcome {
            Some(Outcome::Raised(error)) => Some(error.clone_ref(slf.py())),
            _ => None,
        })
    }

    /// For executors: whether the task is to be run, and not cancelled.
    fn set_running_or_notify_cancel(slf: &Bound<'_, Self>) -> PyResult<bool> {
        match completion::change(slf, Change::Start)? {
            Changed::Yes { state, .. } => Ok(state == State::Running),
            Changed::No(state) => {
                let text = format!(
                    "Future {} in unexpected state: {}",
                    slf.as_ptr().addr(),
                    state.name()
                );
                completion::log(slf.py(), "critical", &text, None, None)?;
                Err(PyRuntimeError::new_err("Future in unexpected state"))
            }
        }
    }

    /// For executors: ends it with a result.
    fn set_result(slf: &Bound<'_, Self>, result: Py<PyAny>) -> PyResult<()> {
        Self::set_by_hand(slf, Outcome::Returned(result))
    }

    /// For executors: ends it with an exception.
    fn set_exception(slf: &Bound<'_, Self>, exception: Py<PyAny>) -> PyResult<()> {
        if exception.is_none(slf.py()) {
            // The standard library's future has a result then: none.
            return Self::set_by_hand(slf, Outcome::Returned(exception));
        }
        Self::set_by_hand(slf, Outcome::Raised(exception))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        show(slf)
    }

    #[getter(_state)]
    fn state_name<'py>(&self, py: Python<'py>) -> &'py Bound<'py, pyo3::types::PyString> {
        match self.state() {
            State::Pending => intern!(py, "PENDING"),
            State::Running => intern!(py, "RUNNING"),
            State::Cancelled => intern!(py, "CANCELLED"),
            State::CancelledAndNotified => intern!(py, "CANCELLED_AND_NOTIFIED"),
            State::Finished => intern!(py, "FINISHED"),
        }
    }

    #[getter(_condition)]
    fn condition(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        let known = |extra: &super::future::Extra| {
            let condition = extra.condition.as_ref();
            condition.map(|condition| condition.clone_ref(py))
        };
        let inner = self.inner.lock();
        if let Some(condition) = inner.extra.as_deref().and_then(known) {
            return Ok(condition);
        }
        drop(inner);
        let class = CLASS.import(py, "threading", "Condition")?;
        let fresh = class.call0()?;
        let mut inner = self.inner.lock();
        // Another thread may have been first.
        let condition = &mut inner.extra().condition;
        let condition = condition.get_or_insert_with(|| fresh.clone().unbind());
        Ok(condition.clone_ref(py))
    }

    /// Whoever asks for it means to wait.
    #[getter(_waiters)]
    fn waiters<'py>(&self, py: Python<'py>) -> Bound<'py, PyList> {
        let fresh = PyList::empty(py);
        let interest = (!self.state().is_done()).then(seen::interest).flatten();
        let mut inner = self.inner.lock();
        let is_done = self.state().is_done();
        let extra = inner.extra();
        let waiters = extra.waiters.get_or_insert_with(|| fresh.clone().unbind());
        let waiters = waiters.bind(py).clone();
        if let Some(interest) = interest
            && !is_done
            && !extra.interests.iter().any(|known| known.is_like(&interest))
        {
            extra.interests.push(interest);
        }
        waiters
    }

    /// A copy; it is empty once they have been called.
    #[getter(_done_callbacks)]
    fn done_callbacks(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        let inner = self.inner.lock();
        let callbacks = inner.extra.iter().flat_map(|extra| &extra.callbacks);
        callbacks.map(|callback| callback.clone_ref(py)).collect()
    }

    #[getter(_result)]
    fn result_now(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        match &self.inner.lock().outcome {
            Some(Outcome::Returned(result)) => Some(result.clone_ref(py)),
            _ => None,
        }
    }

    #[getter(_exception)]
    fn exception_now(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        match &self.inner.lock().outcome {
            Some(Outcome::Raised(error)) => Some(error.clone_ref(py)),
            _ => None,
        }
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        self.traverse(&visit)
    }

    fn __clear__(&self) {
        clear(self);
    }
}
