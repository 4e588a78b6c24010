//! Who waits for a run at the other end of a connection.

use std::cell::RefCell;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyTuple};

use crate::core::locks::Mutex;
use crate::py::engine::Ask;

thread_local! {
    /// Whose request the thread takes a step of.
    static CURRENT: RefCell<Option<Py<Client>>> = const { RefCell::new(None) };
}

/// The client that waits for what is begun now; `None` if nobody does.
#[pyfunction]
pub(crate) fn current_client(py: Python<'_>) -> Option<Py<Client>> {
    CURRENT.with_borrow(|client| client.as_ref().map(|client| client.clone_ref(py)))
}

/// An ASGI app whose runs know the client of the request that they are for.
#[pyclass(frozen, module = "nexus_core")]
pub(crate) struct Noticing {
    #[pyo3(get)]
    inner: Py<PyAny>,
}

#[pymethods]
impl Noticing {
    #[new]
    fn new(inner: Py<PyAny>) -> Self {
        Self { inner }
    }

    /// Handles one request, once it is awaited.
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        scope: &Bound<'py, PyAny>,
        receive: &Bound<'py, PyAny>,
        send: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Client>> {
        let client = Bound::new(
            py,
            Client {
                receive: receive.clone().unbind(),
                send: send.clone().unbind(),
                answered: AtomicBool::new(false),
                steps: Mutex::new(None),
            },
        )?;
        let mut steps = self.inner.bind(py).call1((scope, receive, &client))?;
        // SAFETY: any object may be asked about.
        if unsafe { ffi::PyCoro_CheckExact(steps.as_ptr()) } == 0 {
            steps = steps.call_method0(intern!(py, "__await__"))?;
        }
        *client.get().steps.lock() = Some(steps.unbind());
        Ok(client)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.inner)
    }
}

/// A client that has sent its request and waits for the reply: the coroutine that handles
/// the request, and what its reply is sent through.
#[pyclass(frozen, module = "nexus_core")]
pub(crate) struct Client {
    /// As ASGI tells of what a client sends, or that it has gone.
    #[pyo3(get)]
    receive: Py<PyAny>,
    send: Py<PyAny>,
    answered: AtomicBool,
    /// Of the inner app's coroutine, until it has ended.
    steps: Mutex<Option<Py<PyAny>>>,
}

#[pymethods]
impl Client {
    /// Whether the reply has begun: what still runs then, runs in the background.
    #[getter]
    fn answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Sends a message of the reply.
    fn __call__<'py>(&self, message: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.answered.store(true, Ordering::Relaxed);
        self.send.bind(message.py()).call1((message,))
    }

    fn __await__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::send(slf, slf.py().None().bind(slf.py()))
    }

    fn send<'py>(slf: &Bound<'py, Self>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (py, steps) = (slf.py(), slf.get().steps(slf.py())?);
        let mut result = ptr::null_mut();
        let status = {
            let _current = Current::begin(slf);
            // SAFETY: attached; a valid place for the result, which is a new reference,
            // or null with an error set.
            unsafe { ffi::PyIter_Send(steps.as_ptr(), value.as_ptr(), &raw mut result) }
        };
        // SAFETY: as above.
        let result = unsafe { Bound::from_owned_ptr_or_err(py, result) };
        if status == ffi::PySendResult::PYGEN_NEXT {
            return result;
        }
        slf.get().end();
        let returned = result?;
        // Of a tuple, it would be several arguments.
        Err(if returned.is_none() {
            PyStopIteration::new_err(())
        } else {
            PyStopIteration::new_err((returned.unbind(),))
        })
    }

    #[pyo3(signature = (*error))]
    fn throw<'py>(
        slf: &Bound<'py, Self>,
        error: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, steps) = (slf.py(), slf.get().steps(slf.py())?);
        let step = {
            let _current = Current::begin(slf);
            steps.call_method1(intern!(py, "throw"), error)
        };
        if step.is_err() {
            slf.get().end();
        }
        step
    }

    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let Ok(steps) = slf.get().steps(slf.py()) else {
            return Ok(());
        };
        let closed = {
            let _current = Current::begin(slf);
            steps.ask(intern!(slf.py(), "close"), ())
        };
        if closed.is_ok() {
            slf.get().end();
        }
        closed.map(drop)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.receive)?;
        visit.call(&self.send)?;
        if let Some(steps) = self.steps.try_lock() {
            visit.call(&*steps)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        self.end();
    }
}

impl Client {
    fn steps<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let steps = self.steps.lock();
        let steps = steps.as_ref().map(|steps| steps.bind(py).clone());
        steps.ok_or_else(|| PyRuntimeError::new_err("the request has been handled already"))
    }

    /// The inner coroutine holds this, too, as what it sends through.
    fn end(&self) {
        let ended = self.steps.lock().take();
        drop(ended);
    }
}

/// The thread takes a step of one client's request until this is dropped.
struct Current(Option<Py<Client>>);

impl Current {
    fn begin(client: &Bound<'_, Client>) -> Self {
        Self(CURRENT.replace(Some(client.clone().unbind())))
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        let over = CURRENT.replace(self.0.take());
        drop(over);
    }
}
