//! Waiting for a future.

use std::time::{Duration, Instant};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::future::{FutureBase, State};
use super::host::run_here;
use super::seen::{self, Nested};

/// A waiting thread looks for signals this often.
pub(super) const SIGNAL_INTERVAL: Duration = Duration::from_millis(50);

/// When a time limit in seconds is over. A limit too long to add up is none.
pub(super) fn deadline(timeout: Option<f64>) -> Option<Instant> {
    let timeout = Duration::try_from_secs_f64(timeout?.max(0.0)).ok()?;
    Instant::now().checked_add(timeout)
}

/// Waits until the future is done, or until the deadline; whether it is done. A
/// time limit that is no number is over at once, as in the standard library.
pub(super) fn wait(slf: &Bound<'_, FutureBase>, timeout: Option<f64>) -> PyResult<bool> {
    let (py, this) = (slf.py(), slf.get());
    if this.state().is_done() {
        return Ok(true);
    }
    let pool = this.inner.lock().pool.clone();
    if let Some(pool) = &pool {
        if !pool.is_own() {
            return Err(PyRuntimeError::new_err(format!(
                "the task was submitted to pool {:?} by the process that forked this one, which alone \
                 will see it end; submit it anew in the child",
                pool.host.name
            )));
        }
        // A worker that waits for a task of its own pool makes the call itself, if
        // nobody has begun it: no other worker may ever be free to do so. Not
        // where it must be back in time.
        if timeout.is_none()
            && seen::is_worker_of(pool)
            && let Some(_nested) = Nested::enter()
            && let Some(call) = this.claim()
        {
            drop(pool.became_stale(false));
            run_here(pool, slf, call.apart(py));
            return Ok(true);
        }
    }
    drop(pool);
    let deadline = deadline(timeout);
    if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
        return Ok(this.state().is_done());
    }
    {
        let mut inner = this.inner.lock();
        if this.state().is_done() {
            return Ok(true);
        }
        inner.extra().parked.push(std::thread::current());
    }
    let _interest = seen::interest();
    let waited = park(py, this, deadline);
    if !matches!(waited, Ok(true)) {
        let me = std::thread::current().id();
        let mut inner = this.inner.lock();
        if let Some(extra) = &mut inner.extra {
            extra.parked.retain(|thread| thread.id() != me);
        }
    }
    waited
}

fn park(py: Python<'_>, this: &FutureBase, deadline: Option<Instant>) -> PyResult<bool> {
    loop {
        let is_done = py.detach(|| {
            let until = Instant::now() + SIGNAL_INTERVAL;
            let until = deadline.map_or(until, |deadline| deadline.min(until));
            loop {
                if this.state().is_done() {
                    return true;
                }
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return false;
                }
                std::thread::park_timeout(left);
            }
        });
        if is_done {
            return Ok(true);
        }
        py.check_signals()?;
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(this.state().is_done());
        }
    }
}

/// Whether the future was cancelled.
pub(super) fn is_cancelled(state: State) -> bool {
    matches!(state, State::Cancelled | State::CancelledAndNotified)
}
