//! A future that a native thread can complete without calling Python, and that
//! `concurrent.futures` takes for one of its own.
//!
//! The standard library's functions `wait` and `as_completed` hold a future's
//! condition while they look at its state and add themselves to its waiters. The
//! condition is made only when somebody asks for it. Making it and ending the
//! future exclude one another: the future's lock is held while it is looked
//! whether there is a condition and, if not, while the end is written down. Where
//! there is one, whoever ends the future holds the condition as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::Thread;

use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyList, PyTuple, PyType};

use crate::core::executor::{Executor, Interest, Task};
use crate::core::locks::Mutex;

use super::call::{Call, Outcome};
use super::host::Pool;

/// Where a future is; the standard library's names and meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    Pending,
    Running,
    Cancelled,
    CancelledAndNotified,
    Finished,
}

impl State {
    fn of(number: u8) -> Self {
        match number {
            0 => Self::Pending,
            1 => Self::Running,
            2 => Self::Cancelled,
            3 => Self::CancelledAndNotified,
            _ => Self::Finished,
        }
    }

    pub(super) fn is_done(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Cancelled => "CANCELLED",
            Self::CancelledAndNotified => "CANCELLED_AND_NOTIFIED",
            Self::Finished => "FINISHED",
        }
    }
}

/// The native half of a pool's futures.
#[pyclass(frozen, subclass, module = "nexus_core._core")]
pub(crate) struct FutureBase {
    /// Written while `inner` is locked.
    state: AtomicU8,
    pub(super) inner: Mutex<Inner>,
}

pub(super) struct Inner {
    pub(super) call: Option<Call>,
    /// Until it is done.
    pub(super) pool: Option<Arc<Executor<Pool>>>,
    pub(super) outcome: Option<Outcome>,
    pub(super) extra: Option<Box<Extra>>,
}

/// What only a future has that somebody waits for.
#[derive(Default)]
pub(super) struct Extra {
    pub(super) condition: Option<Py<PyAny>>,
    pub(super) waiters: Option<Py<PyList>>,
    pub(super) callbacks: Vec<Py<PyAny>>,
    /// Threads that wait without the condition.
    pub(super) parked: Vec<Thread>,
    /// Workers that wait for it, in whatever way.
    pub(super) interests: Vec<Interest>,
}

impl Inner {
    pub(super) fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }
}

impl FutureBase {
    #[inline]
    pub(super) fn state(&self) -> State {
        State::of(self.state.load(Ordering::Acquire))
    }

    /// `inner` is locked.
    #[inline]
    pub(super) fn set_state(&self, state: State) {
        self.state.store(state as u8, Ordering::Release);
    }

    /// Whoever gets the call must make it, and nobody else will.
    #[inline]
    pub(super) fn claim(&self) -> Option<Call> {
        let mut inner = self.inner.lock();
        if self.state() != State::Pending {
            return None;
        }
        let call = inner.call.take()?;
        self.set_state(State::Running);
        Some(call)
    }

    /// A new future of a pool, as `PoolFuture()` would make it.
    pub(super) fn of_pool(
        py: Python<'_>,
        pool: &Arc<Executor<Pool>>,
        call: Call,
    ) -> PyResult<Py<Self>> {
        static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        let class = CLASS.import(py, "nexus_core.thread_pool", "PoolFuture")?;
        let no_arguments = PyTuple::empty(py);
        // SAFETY: attached. `PoolFuture` is a subclass of this class and has its
        // `__new__`, which takes a type, a tuple, and null where no keywords are.
        let future = unsafe {
            let class = class.as_type_ptr();
            let Some(new) = (*class).tp_new else {
                return Err(pyo3::exceptions::PySystemError::new_err(
                    "PoolFuture cannot be made",
                ));
            };
            let future = new(class, no_arguments.as_ptr(), std::ptr::null_mut());
            Bound::from_owned_ptr_or_err(py, future)?.cast_into_unchecked::<Self>()
        };
        untrack(&future);
        let mut inner = future.get().inner.lock();
        inner.call = Some(call);
        inner.pool = Some(Arc::clone(pool));
        drop(inner);
        Ok(future.unbind())
    }

    pub(super) fn has_failed(&self) -> bool {
        matches!(self.inner.lock().outcome, Some(Outcome::Raised(_)))
    }

    /// The `KeyboardInterrupt` that ended it.
    pub(super) fn interruption(&self, py: Python<'_>) -> Option<PyErr> {
        let raised = match &self.inner.lock().outcome {
            Some(Outcome::Raised(error)) => error.clone_ref(py).into_bound(py),
            _ => return None,
        };
        raised
            .is_instance_of::<PyKeyboardInterrupt>()
            .then(|| PyErr::from_value(raised))
    }

    pub(super) fn new_pending() -> Self {
        Self {
            state: AtomicU8::new(State::Pending as u8),
            inner: Mutex::new(Inner {
                call: None,
                pool: None,
                outcome: None,
                extra: None,
            }),
        }
    }

    pub(super) fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        let Some(inner) = self.inner.try_lock() else {
            return Ok(());
        };
        if let Some(call) = &inner.call {
            call.traverse(visit)?;
        }
        match &inner.outcome {
            Some(Outcome::Returned(object) | Outcome::Raised(object)) => visit.call(object)?,
            None => {}
        }
        if let Some(extra) = &inner.extra {
            visit.call(&extra.condition)?;
            visit.call(&extra.waiters)?;
            for callback in &extra.callbacks {
                visit.call(callback)?;
            }
        }
        Ok(())
    }
}

/// Spares the collector a future that is in a queue or runs: whatever it finds in
/// there, the pool holds on to it. It would look through a burst of them again and
/// again. (Without the interpreter's lock its mark could not be changed safely.)
fn untrack(future: &Bound<'_, FutureBase>) {
    if cfg!(not(Py_GIL_DISABLED)) {
        // SAFETY: attached; an object that the collector may track.
        unsafe { ffi::PyObject_GC_UnTrack(future.as_ptr().cast()) };
    }
}

/// From now on the collector looks after the future.
#[inline]
pub(super) fn track(future: &Bound<'_, FutureBase>) {
    if cfg!(not(Py_GIL_DISABLED)) {
        // SAFETY: attached; an object that the collector may track, and does not.
        unsafe {
            if ffi::PyObject_GC_IsTracked(future.as_ptr()) == 0 {
                ffi::PyObject_GC_Track(future.as_ptr().cast());
            }
        }
    }
}

/// A future in its pool's queue. Dropped while attached.
pub(crate) struct Job(pub(super) Py<FutureBase>);

impl Task for Job {
    fn is_stale(&self) -> bool {
        self.0.get().state() != State::Pending
    }
}

/// Type of `self` and its address, as the standard library shows a future.
pub(super) fn show(slf: &Bound<'_, FutureBase>) -> PyResult<String> {
    let name = slf.get_type().name()?;
    let address = slf.as_ptr().addr();
    let this = slf.get();
    let inner = this.inner.lock();
    let (state, outcome) = match (this.state(), &inner.outcome) {
        (State::Finished, Some(Outcome::Returned(result))) => {
            ("finished", Some((" returned ", result.clone_ref(slf.py()))))
        }
        (State::Finished, Some(Outcome::Raised(error))) => {
            ("finished", Some((" raised ", error.clone_ref(slf.py()))))
        }
        (State::Finished, None) => ("finished", None),
        (State::Pending, _) => ("pending", None),
        (State::Running, _) => ("running", None),
        (State::Cancelled | State::CancelledAndNotified, _) => ("cancelled", None),
    };
    drop(inner);
    let ending = match outcome {
        Some((how, what)) => format!("{how}{}", what.bind(slf.py()).get_type().name()?),
        None => String::new(),
    };
    Ok(format!("<{name} at {address:#x} state={state}{ending}>"))
}

/// Frees what is held in cycles.
pub(super) fn clear(this: &FutureBase) {
    let mut inner = this.inner.lock();
    let freed = (
        inner.call.take(),
        inner.outcome.take(),
        inner.extra.take(),
        inner.pool.take(),
    );
    drop(inner);
    drop(freed);
}

// Kept small: the collector's head, this, and the instance dict's slots fit into
// what Python's own allocator serves.
const _: () = assert!(size_of::<FutureBase>() <= 160);
