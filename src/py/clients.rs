//! Who waits for a run at the other end of a connection.

use std::cell::RefCell;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::core::locks::Mutex;
use crate::py::engine::Ask;

thread_local! {
    /// Whose request the thread takes a step of.
    static CURRENT: RefCell<Option<Py<Client>>> = const { RefCell::new(None) };
}

/// What a client asks of the cache of results by its request's headers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Nothing,
    /// Results that are computed anew.
    Refresh,
    /// That the cache has no part in it.
    NoCache,
}

/// A client whose reply tells how the cache has answered, for the first run of its request.
pub(crate) struct Wishes(Py<Client>);

impl Wishes {
    /// Whether a result that is kept is not what is asked for.
    pub(crate) fn asks_for_more(&self) -> bool {
        self.0.get().asked != Asked::Nothing
    }

    /// The run was answered by a result of this age in seconds.
    pub(crate) fn was_hit(&self, age: f64) {
        let client = self.0.get();
        client.is_taken.store(true, Ordering::Relaxed);
        let line = format!("nexus-core; hit; age={}", age.trunc());
        *client.told.lock() = Some(line);
    }
}

/// The client that the calling thread handles a request of, if its reply is to tell and no
/// other run of the request has begun.
pub(crate) fn current_wishes(py: Python<'_>) -> Option<Wishes> {
    CURRENT.with_borrow(|client| {
        let client = client.as_ref()?;
        let own = client.get();
        let is_free = own.tells && !own.is_taken.load(Ordering::Relaxed);
        is_free.then(|| Wishes(client.clone_ref(py)))
    })
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
    /// Whether replies tell how the cache of results has answered.
    #[pyo3(get)]
    tells: bool,
}

#[pymethods]
impl Noticing {
    #[new]
    #[pyo3(signature = (inner, tells=false))]
    fn new(inner: Py<PyAny>, tells: bool) -> Self {
        Self { inner, tells }
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
                tells: self.tells,
                asked: if self.tells {
                    asked_in(scope)?
                } else {
                    Asked::Nothing
                },
                is_taken: AtomicBool::new(false),
                told: Mutex::new(None),
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
    /// Whether the reply tells how the cache of results has answered.
    tells: bool,
    asked: Asked,
    /// The first run of the request has begun; what it runs is not the client's.
    is_taken: AtomicBool,
    /// The value of the reply's `Cache-Status`.
    told: Mutex<Option<String>>,
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
        let py = message.py();
        let line = if self.tells {
            self.told.lock().take()
        } else {
            None
        };
        match line {
            Some(line) => self.send.bind(py).call1((with_header(message, &line)?,)),
            None => self.send.bind(py).call1((message,)),
        }
    }

    /// What the client asks of the cache, as `(refresh, cache)`, for the run that takes it
    /// first; `None` for others, and if the reply tells nothing.
    fn take_wish(&self) -> Option<(bool, Option<bool>)> {
        if !self.tells || self.is_taken.swap(true, Ordering::Relaxed) {
            return None;
        }
        Some(match self.asked {
            Asked::Nothing => (false, None),
            Asked::Refresh => (true, None),
            Asked::NoCache => (false, Some(false)),
        })
    }

    /// Says what the reply is to tell.
    fn tell(&self, line: String) {
        *self.told.lock() = Some(line);
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

/// What the `Cache-Control` of a request asks for.
fn asked_in(scope: &Bound<'_, PyAny>) -> PyResult<Asked> {
    let py = scope.py();
    let headers = scope.get_item(intern!(py, "headers"))?;
    let mut asked = Asked::Nothing;
    for header in headers.try_iter()? {
        let header = header?;
        let (Ok(name), Ok(value)) = (header.get_item(0), header.get_item(1)) else {
            continue;
        };
        let (Ok(name), Ok(value)) = (name.cast::<PyBytes>(), value.cast::<PyBytes>()) else {
            continue;
        };
        if name.as_bytes() != b"cache-control" {
            continue;
        }
        for directive in value.as_bytes().split(|byte| *byte == b',') {
            let directive = directive.trim_ascii();
            if directive.eq_ignore_ascii_case(b"no-store") {
                asked = Asked::NoCache;
            } else if asked == Asked::Nothing
                && (directive.eq_ignore_ascii_case(b"no-cache")
                    || directive.eq_ignore_ascii_case(b"max-age=0"))
            {
                asked = Asked::Refresh;
            }
        }
    }
    Ok(asked)
}

/// The first message of a reply with a header more; others as they are.
fn with_header<'py>(message: &Bound<'py, PyAny>, line: &str) -> PyResult<Bound<'py, PyAny>> {
    let py = message.py();
    let Ok(original) = message.cast::<PyDict>() else {
        return Ok(message.clone());
    };
    let kind = original.get_item(intern!(py, "type"))?;
    let is_first = kind.is_some_and(|kind| {
        let kind = kind.cast::<PyString>();
        kind.is_ok_and(|kind| kind == "http.response.start")
    });
    if !is_first {
        return Ok(message.clone());
    }
    let headers = PyList::empty(py);
    if let Some(own) = original.get_item(intern!(py, "headers"))? {
        for header in own.try_iter()? {
            headers.append(header?)?;
        }
    }
    headers.append((
        PyBytes::new(py, b"cache-status"),
        PyBytes::new(py, line.as_bytes()),
    ))?;
    let copy = original.copy()?;
    copy.set_item(intern!(py, "headers"), headers)?;
    Ok(copy.into_any())
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
