//! Who waits for a run at the other end of a connection.

use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::PyStopIteration;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyTuple};

use crate::core::locks::Mutex;
use crate::py::engine::Ask;

/// A client that has sent its request and waits for the reply.
#[pyclass(frozen, module = "nexus_core")]
pub(crate) struct Client {
    /// As ASGI tells of what a client sends, or that it has gone.
    #[pyo3(get)]
    receive: Py<PyAny>,
    send: Py<PyAny>,
    answered: AtomicBool,
}

#[pymethods]
impl Client {
    #[new]
    fn new(receive: Py<PyAny>, send: Py<PyAny>) -> Self {
        Self {
            receive,
            send,
            answered: AtomicBool::new(false),
        }
    }

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

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.receive)?;
        visit.call(&self.send)
    }
}

/// An ASGI app whose runs know the client of the request that they are for.
#[pyclass(frozen, module = "nexus_core")]
pub(crate) struct Noticing {
    #[pyo3(get)]
    inner: Py<PyAny>,
    /// The context variable that says who the client is.
    variable: Py<PyAny>,
}

#[pymethods]
impl Noticing {
    #[new]
    fn new(inner: Py<PyAny>, variable: Py<PyAny>) -> Self {
        Self { inner, variable }
    }

    /// Handles one request, once it is awaited.
    fn __call__(
        &self,
        py: Python<'_>,
        scope: &Bound<'_, PyAny>,
        receive: &Bound<'_, PyAny>,
        send: &Bound<'_, PyAny>,
    ) -> PyResult<Noticed> {
        let client = Client::new(receive.clone().unbind(), send.clone().unbind());
        let client = Bound::new(py, client)?;
        let mut steps = self.inner.bind(py).call1((scope, receive, &client))?;
        // SAFETY: any object may be asked about.
        if unsafe { ffi::PyCoro_CheckExact(steps.as_ptr()) } == 0 {
            steps = steps.call_method0(intern!(py, "__await__"))?;
        }
        Ok(Noticed {
            steps: steps.unbind(),
            client: client.unbind(),
            variable: self.variable.clone_ref(py),
            token: Mutex::new(None),
        })
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.inner)?;
        visit.call(&self.variable)
    }
}

/// The coroutine of one request.
#[pyclass(frozen, module = "nexus_core")]
pub(crate) struct Noticed {
    steps: Py<PyAny>,
    client: Py<Client>,
    variable: Py<PyAny>,
    /// Puts the variable back; there while a request is under way.
    token: Mutex<Option<Py<PyAny>>>,
}

#[pymethods]
impl Noticed {
    fn __await__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.send(py, py.None().bind(py))
    }

    fn send<'py>(&self, py: Python<'py>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.begin(py)?;
        let mut result = ptr::null_mut();
        // SAFETY: attached; a valid place for the result, which is a new reference, or
        // null with an error set.
        let status =
            unsafe { ffi::PyIter_Send(self.steps.as_ptr(), value.as_ptr(), &raw mut result) };
        // SAFETY: as above.
        let result = unsafe { Bound::from_owned_ptr_or_err(py, result) };
        if status == ffi::PySendResult::PYGEN_NEXT {
            return result;
        }
        self.end(py)?;
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
        &self,
        py: Python<'py>,
        error: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let step = self
            .steps
            .bind(py)
            .call_method1(intern!(py, "throw"), error);
        if step.is_err() {
            self.end(py)?;
        }
        step
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let closed = self.steps.bind(py).ask(intern!(py, "close"), ());
        self.end(py)?;
        closed.map(drop)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.steps)?;
        visit.call(&self.client)?;
        visit.call(&self.variable)?;
        if let Some(token) = self.token.try_lock() {
            visit.call(&*token)?;
        }
        Ok(())
    }
}

impl Noticed {
    /// Says who the client is, in the context of whoever takes the first step.
    fn begin(&self, py: Python<'_>) -> PyResult<()> {
        if self.token.lock().is_some() {
            return Ok(());
        }
        // SAFETY: attached; a context variable; a new reference, or null with an error set.
        let token = unsafe {
            let token = ffi::PyContextVar_Set(self.variable.as_ptr(), self.client.as_ptr());
            Bound::from_owned_ptr_or_err(py, token)?
        };
        *self.token.lock() = Some(token.unbind());
        Ok(())
    }

    fn end(&self, py: Python<'_>) -> PyResult<()> {
        let Some(token) = self.token.lock().take() else {
            return Ok(());
        };
        // SAFETY: attached; a context variable and its token.
        let status = unsafe { ffi::PyContextVar_Reset(self.variable.as_ptr(), token.as_ptr()) };
        if status < 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(())
    }
}
