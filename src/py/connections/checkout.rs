//! One use of a connection: the context manager that `connection()` returns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::core::connections::{Asked, Condition, Handed, Lease, NotOut, Quit, Refusal, Waiter};
use crate::core::locks::Mutex;
use crate::core::threads::fork_generation;
use crate::py::engine::LoopMailbox;

use super::loop_driver::LoopBell;
use super::member::Member;
use super::pool::NativeConnectionPool;

/// No lease has this number.
const NONE: u64 = 0;

/// Nor this one: it is waited for.
const ENTERING: u64 = u64::MAX;

/// A connection for the length of a `with` block.
#[pyclass(frozen, module = "nexus_core._core", name = "_Checkout", freelist = 32)]
pub(crate) struct Checkout {
    pool: Py<NativeConnectionPool>,
    timeout: f64,
    // Written by whoever enters and leaves; one after the other, as blocks go.
    slot: AtomicU32,
    serial: AtomicU64,
    /// Of a task on an event loop.
    waiter: Option<Box<Mutex<Option<Place>>>>,
}

/// A place in the line of the pool of one process.
struct Place {
    waiter: Arc<Waiter<Handed>>,
    era: u64,
}

impl Checkout {
    #[inline]
    pub(super) fn new(pool: Py<NativeConnectionPool>, timeout: f64) -> Self {
        Self {
            pool,
            timeout,
            slot: AtomicU32::new(0),
            serial: AtomicU64::new(NONE),
            waiter: timeout.is_nan().then(Box::default),
        }
    }

    #[inline]
    fn keep(&self, lease: Lease) {
        self.slot.store(lease.slot, Ordering::Relaxed);
        self.serial.store(lease.serial, Ordering::Release);
    }

    /// The lease, which is then somebody else's to end.
    #[inline]
    fn surrender(&self) -> Option<Lease> {
        let serial = self.serial.load(Ordering::Acquire);
        if serial == NONE || serial == ENTERING {
            return None;
        }
        // The interpreter's lock, or whatever is in its place, orders the two.
        let slot = self.slot.load(Ordering::Relaxed);
        self.serial
            .compare_exchange(serial, NONE, Ordering::AcqRel, Ordering::Relaxed)
            .ok()
            .map(|serial| Lease { slot, serial })
    }

    #[cold]
    fn is_entered() -> PyErr {
        PyRuntimeError::new_err(
            "this checkout is in use already; call connection() once for each block",
        )
    }

    #[inline]
    fn leave(&self, py: Python<'_>, was_error: bool, defer: bool) -> PyResult<()> {
        let pool = self.pool.get();
        let Some(lease) = self.surrender() else {
            return Err(PyRuntimeError::new_err(
                "this checkout was never entered, or was left already",
            ));
        };
        if pool.hand_back(py, lease, was_error, defer)? {
            return Ok(());
        }
        // A connection of the parent process stays the parent's.
        if was_error || !NativeConnectionPool::is_of_this_process(lease) {
            return Ok(());
        }
        let none = py.None();
        Err(pool.not_out(py, none.bind(py), NotOut::AlreadyReturned))
    }

    /// The place in the line, which is given up by taking it out.
    fn waiter(&self, take: bool) -> Option<Arc<Waiter<Handed>>> {
        let mut place = self.waiter.as_ref()?.lock();
        let waiter = place
            .as_ref()
            .filter(|place| place.era == fork_generation())
            .map(|place| Arc::clone(&place.waiter));
        let left = if take { place.take() } else { None };
        drop(place);
        // A forked child leaves the parent's alone.
        std::mem::forget(left.filter(|place| place.era != fork_generation()));
        waiter
    }

    /// What a waiter was given.
    fn accept(&self, py: Python<'_>, handed: Handed) -> PyResult<Py<PyAny>> {
        let pool = self.pool.get();
        drop(self.waiter(true));
        let Handed::Lease(lease) = handed else {
            return Err(pool.refused(py, Refusal::Closed));
        };
        // Without it a leak can still be told, if not where it is.
        let mut stack = pool.stack(py).unwrap_or(None);
        let connection = pool.core().view(lease, None, |member| {
            std::mem::swap(&mut member.stack, &mut stack);
            member.connection.clone_ref(py)
        });
        let connection = connection.ok_or_else(|| pool.refused(py, Refusal::Closed))?;
        self.keep(lease);
        Ok(connection)
    }
}

#[pymethods]
impl Checkout {
    #[inline]
    fn __enter__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        // While it waits another thread may come with the same one.
        self.serial
            .compare_exchange(NONE, ENTERING, Ordering::AcqRel, Ordering::Relaxed)
            .map_err(|_| Self::is_entered())?;
        match self.pool.get().borrow(py, self.timeout, false) {
            Ok((lease, connection)) => {
                self.keep(lease);
                Ok(connection)
            }
            Err(error) => {
                self.serial.store(NONE, Ordering::Release);
                Err(error)
            }
        }
    }

    #[inline]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: &Bound<'_, PyAny>,
        _exc: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.leave(py, !exc_type.is_none(), false)
    }

    /// A connection at once, or `None`.
    fn _begin(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        if self.serial.load(Ordering::Acquire) != NONE {
            return Err(Self::is_entered());
        }
        Ok(self
            .pool
            .get()
            .borrow_now(py, false)?
            .map(|(lease, connection)| {
                self.keep(lease);
                connection
            }))
    }

    /// A connection at once, or `None` and a place in the line: the callback is called
    /// on the loop when there is something to take.
    fn _join(
        &self,
        py: Python<'_>,
        mailbox: Py<LoopMailbox>,
        callback: Py<PyAny>,
        again: bool,
    ) -> PyResult<Option<Py<PyAny>>> {
        let pool = self.pool.get();
        let bell = Box::new(LoopBell { mailbox, callback });
        let mut stack = pool.stack(py)?;
        let look = |member: &mut Member| {
            std::mem::swap(&mut member.stack, &mut stack);
            member.connection.clone_ref(py)
        };
        let (core, now) = (pool.core(), Instant::now());
        let asked = if again {
            core.ask_again(now, false, Some(bell), look)
        } else {
            core.ask(now, false, Some(bell), look)
        };
        match asked {
            Err(refusal) => Err(pool.refused(py, refusal)),
            Ok(Asked::Lent(lease, connection)) => {
                self.keep(lease);
                Ok(Some(connection))
            }
            Ok(Asked::Queued(waiter)) => {
                if let Some(place) = &self.waiter {
                    let era = fork_generation();
                    *place.lock() = Some(Place { waiter, era });
                }
                Ok(None)
            }
        }
    }

    /// What came meanwhile, or `None`.
    fn _take(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match self.waiter(false).and_then(|waiter| waiter.take()) {
            Some(handed) => self.accept(py, handed).map(Some),
            None => Ok(None),
        }
    }

    /// The time is over: leaves the line. What came in that very moment is taken.
    fn _time_out(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let Some(waiter) = self.waiter(true) else {
            return Ok(None);
        };
        match self
            .pool
            .get()
            .core()
            .give_up(&waiter, Quit::TimedOut, Instant::now())
        {
            Some(handed) => self.accept(py, handed).map(Some),
            None => Ok(None),
        }
    }

    /// The task was cancelled: leaves the line, and passes on what came meanwhile.
    #[pyo3(name = "_cancel")]
    fn cancel(&self) {
        if let Some(waiter) = self.waiter(true) {
            let core = self.pool.get().core();
            if let Some(handed) = core.give_up(&waiter, Quit::Cancelled, Instant::now()) {
                core.pass_on(handed, Instant::now());
            }
        }
        if let Some(lease) = self.surrender() {
            self.pool.get().end(lease, Condition::Good);
        }
    }

    /// As `__exit__`, with the reset done elsewhere.
    fn _leave(&self, py: Python<'_>, was_error: bool) -> PyResult<()> {
        self.leave(py, was_error, true)
    }

    /// The connection turned out to be broken; the task asks anew, or was interrupted.
    fn _lose(&self, asks_anew: bool) {
        if let Some(lease) = self.surrender() {
            self.pool.get().decline(lease, asks_anew);
        }
    }

    /// From now on the connection alone is kept, without this.
    fn _release_to_holder(&self) {
        if let Some(lease) = self.surrender() {
            let core = self.pool.get().core();
            core.view(lease, Some(Instant::now()), |_| ());
        }
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.pool)
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        if self.waiter.is_none() && *self.serial.get_mut() == NONE {
            return;
        }
        // Its owner dropped it inside its block, or while it waited. It may be the
        // garbage collector that comes here: nothing of the user's is called.
        let pool = self.pool.get();
        if let Some(lease) = self.surrender()
            && NativeConnectionPool::is_of_this_process(lease)
        {
            pool.end(lease, Condition::Dropped);
        }
        self.cancel();
    }
}
