//! Getting a connection on a thread: at once, or after a wait that signals end.

use std::sync::Arc;
use std::time::Instant;

use pyo3::prelude::*;

use crate::core::connections::{Asked, Condition, Handed, Lease, Quit, Refusal};
use crate::py::errors;

use super::arguments::Patience;
use super::figures::gauges_dict;
use super::member::{Core, Member};
use super::pool::NativeConnectionPool;

/// A lease, and its connection.
pub(super) type Lent = (Lease, Py<PyAny>);

impl NativeConnectionPool {
    pub(super) fn refused(&self, py: Python<'_>, refusal: Refusal) -> PyErr {
        match refusal {
            Refusal::Closed => errors::raise(py, "PoolClosed", (&self.name,)),
            Refusal::TooMany(waiting) => errors::raise(py, "TooManyWaiting", (&self.name, waiting)),
        }
    }

    /// The error of a caller that waited so long.
    pub(super) fn too_late(&self, py: Python<'_>, core: &Arc<Core>, since: Instant) -> PyErr {
        let waited = since.elapsed().as_secs_f64();
        let gauges = match gauges_dict(py, &core.gauges()) {
            Ok(gauges) => gauges,
            Err(error) => return error,
        };
        let cause = core.last_error(|fault| fault.0.clone_ref(py));
        let shown = cause.as_ref().map(|cause| cause.clone_ref(py));
        let error = errors::raise(py, "PoolTimeout", (&self.name, waited, gauges, shown));
        if let Some(cause) = cause {
            error.set_cause(py, Some(PyErr::from_value(cause.into_bound(py))));
        }
        error
    }

    /// What tells where a checkout is made, where that is asked for.
    pub(super) fn stack(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        if !self.captures_stack {
            return Ok(None);
        }
        let capture = self.hooks.get(py, |set| Some(&set.stack));
        capture
            .map(|capture| capture.call0().map(Bound::unbind))
            .transpose()
    }

    /// A connection, if there is one at once.
    #[inline]
    pub(super) fn borrow_now(&self, py: Python<'_>, is_raw: bool) -> PyResult<Option<Lent>> {
        let mut stack = self.stack(py)?;
        let look = |member: &mut Member| {
            std::mem::swap(&mut member.stack, &mut stack);
            member.connection.clone_ref(py)
        };
        Ok(self.core().try_lend(Instant::now(), is_raw, look))
    }

    /// A connection within so many seconds.
    #[inline]
    pub(super) fn borrow(&self, py: Python<'_>, timeout: f64, is_raw: bool) -> PyResult<Lent> {
        if !self.checks_on_caller {
            if let Some(lent) = self.borrow_now(py, is_raw)? {
                return Ok(lent);
            }
            let patience = Patience::of_seconds(timeout, "timeout")?;
            return self.wait(py, patience, Instant::now(), is_raw, false);
        }
        let patience = Patience::of_seconds(timeout, "timeout")?;
        let began = Instant::now();
        let mut again = false;
        loop {
            let (lease, connection) = match self.borrow_now(py, is_raw)? {
                Some(lent) => lent,
                None => self.wait(py, patience, began, is_raw, again)?,
            };
            again = true;
            let found = super::attendant::is_good(py, &self.hooks, &connection);
            if matches!(found, Ok(true)) {
                return Ok((lease, connection));
            }
            drop(connection);
            self.decline(lease, found.is_ok());
            found?;
        }
    }

    /// The connection failed its check in the caller's hands, who asks anew or was
    /// interrupted.
    pub(super) fn decline(&self, lease: Lease, asks_anew: bool) {
        let now = Instant::now();
        let stack = self
            .core()
            .decline(lease, asks_anew, now, |member| member.stack.take());
        drop(stack);
    }

    #[cold]
    fn wait(
        &self,
        py: Python<'_>,
        patience: Patience,
        began: Instant,
        is_raw: bool,
        again: bool,
    ) -> PyResult<Lent> {
        let core = self.core();
        let mut stack = self.stack(py)?;
        let mut look = |member: &mut Member| {
            std::mem::swap(&mut member.stack, &mut stack);
            member.connection.clone_ref(py)
        };
        let now = Instant::now();
        let asked = if again {
            core.ask_again(now, is_raw, None, &mut look)
        } else {
            core.ask(now, is_raw, None, &mut look)
        };
        let waiter = match asked {
            Err(refusal) => return Err(self.refused(py, refusal)),
            Ok(Asked::Lent(lease, connection)) => return Ok((lease, connection)),
            Ok(Asked::Queued(waiter)) => waiter,
        };
        let handed = loop {
            let Some(nap) = patience.nap() else {
                break core.give_up(&waiter, Quit::TimedOut, Instant::now());
            };
            if let Some(handed) = py.detach(|| waiter.park(nap)) {
                break Some(handed);
            }
            if let Err(interruption) = py.check_signals() {
                if let Some(handed) = core.give_up(&waiter, Quit::Cancelled, Instant::now()) {
                    core.pass_on(handed, Instant::now());
                }
                return Err(interruption);
            }
            // Threads that are stuck do not hear what others have to do.
            core.remind();
        };
        match handed {
            None => Err(self.too_late(py, core, began)),
            Some(Handed::Closed) => Err(self.refused(py, Refusal::Closed)),
            Some(Handed::Lease(lease)) => core
                .view(lease, is_raw.then(Instant::now), look)
                .map(|connection| (lease, connection))
                .ok_or_else(|| self.refused(py, Refusal::Closed)),
        }
    }

    /// Ends a lease; whether it lasted until now. While attached.
    #[inline]
    pub(super) fn end(&self, lease: Lease, condition: Condition) -> bool {
        let stack = self
            .core()
            .give_back(lease, condition, Instant::now(), |member| {
                member.stack.take()
            });
        stack.is_some()
    }
}
