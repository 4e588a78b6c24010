//! A call on its way into a pool's queue.

use std::sync::Arc;
use std::time::Instant;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::core::executor::{Ending, Executor, Place, Refusal, Refused, Room, Submission};
use crate::py::errors::raise;

use super::call::Call;
use super::completion::{self, Change};
use super::future::{FutureBase, Job};
use super::host::{Pool, run_here};
use super::life::fail_all;
use super::seen::{self, Nested};
use super::waiting::{SIGNAL_INTERVAL, deadline};

/// What happens to a task for which the queue has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhenFull {
    Block,
    Reject,
    CallerRuns,
}

impl WhenFull {
    pub(super) fn named(name: &str) -> PyResult<Self> {
        match name {
            "block" => Ok(Self::Block),
            "reject" => Ok(Self::Reject),
            "caller_runs" => Ok(Self::CallerRuns),
            _ => Err(PyValueError::new_err(format!(
                "when_full is one of 'block', 'reject', 'caller_runs'; got '{name}'"
            ))),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Reject => "reject",
            Self::CallerRuns => "caller_runs",
        }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Terms {
    pub(super) priority: i64,
    pub(super) when_full: WhenFull,
    /// Seconds to wait for room.
    pub(super) timeout: Option<f64>,
}

/// Submits a call, and waits for room if that is asked for.
pub(super) fn submit(
    py: Python<'_>,
    pool: &Arc<Executor<Pool>>,
    call: Call,
    terms: Terms,
) -> PyResult<Py<FutureBase>> {
    let future = FutureBase::of_pool(py, pool, call)?;
    let job = Job(future.clone_ref(py));
    let may_wait = terms.when_full == WhenFull::Block && !seen::is_worker_of(pool);
    match pool.submit(job, terms.priority, may_wait) {
        Ok(Submission::Queued) => Ok(future),
        Ok(Submission::Waits(place)) => wait_for_room(py, pool, &place, terms, future),
        Err(Refused::Back(job, Refusal::Full { queued })) => {
            drop(job);
            no_room(py, pool, terms, future, queued)
        }
        Err(Refused::Back(job, Refusal::Ended(ending))) => {
            drop(job);
            Err(ended(py, pool, ending))
        }
        Err(Refused::NoThread(jobs)) => {
            fail_all(py, pool, jobs);
            Err(PyRuntimeError::new_err(format!(
                "pool {:?} has no thread, and the system starts none",
                pool.host.name
            )))
        }
    }
}

/// The queue is full, and the caller does not wait.
fn no_room(
    py: Python<'_>,
    pool: &Arc<Executor<Pool>>,
    terms: Terms,
    future: Py<FutureBase>,
    queued: usize,
) -> PyResult<Py<FutureBase>> {
    match terms.when_full {
        WhenFull::Reject => return Err(full(py, pool, queued, 0.0)),
        WhenFull::CallerRuns => run_unqueued(py, pool, &future)?,
        // A worker that waited for room might wait for itself. It makes the call
        // itself, or goes beyond the bound where that would become too deep.
        WhenFull::Block => {
            let Some(_nested) = Nested::enter() else {
                let refused = pool.submit_beyond(Job(future.clone_ref(py)), terms.priority);
                return match refused {
                    None => Ok(future),
                    Some(_) => Err(ended(py, pool, pool.ending().unwrap_or(Ending::Shutdown))),
                };
            };
            run_unqueued(py, pool, &future)?;
        }
    }
    Ok(future)
}

/// Makes the call here and now. An interruption by Ctrl-C ends the task, and is the
/// caller's as well.
fn run_unqueued(
    py: Python<'_>,
    pool: &Arc<Executor<Pool>>,
    future: &Py<FutureBase>,
) -> PyResult<()> {
    pool.accept_unqueued();
    if let Some(call) = future.get().claim() {
        run_here(pool, future.bind(py), call);
    }
    match future.get().interruption(py) {
        Some(interruption) => Err(interruption),
        None => Ok(()),
    }
}

fn wait_for_room(
    py: Python<'_>,
    pool: &Arc<Executor<Pool>>,
    place: &Place,
    terms: Terms,
    future: Py<FutureBase>,
) -> PyResult<Py<FutureBase>> {
    let began = Instant::now();
    let deadline = deadline(terms.timeout);
    // A worker of another pool, whose own queue the room may depend on.
    let _interest = seen::interest();
    loop {
        let mut slice = SIGNAL_INTERVAL;
        if let Some(deadline) = deadline {
            slice = slice.min(deadline.saturating_duration_since(Instant::now()));
        }
        match py.detach(|| pool.wait_for_room(place, slice)) {
            Room::Admitted => return Ok(future),
            Room::Ended(job, ending) => {
                drop(job);
                return Err(ended(py, pool, ending));
            }
            Room::NotYet => {}
        }
        if let Err(signal) = py.check_signals() {
            if pool.give_up(place).is_none() {
                // It is queued already, and nobody will ever hold its future.
                completion::change(future.bind(py), Change::Cancel)?;
            }
            return Err(signal);
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return match pool.give_up(place) {
                None => Ok(future),
                Some(job) => {
                    drop(job);
                    let waited = began.elapsed().as_secs_f64();
                    Err(full(py, pool, pool.queued(), waited))
                }
            };
        }
    }
}

fn full(py: Python<'_>, pool: &Arc<Executor<Pool>>, queued: usize, waited: f64) -> PyErr {
    pool.metrics.rejected();
    let limits = pool.limits();
    let most = limits.max_queue.unwrap_or(usize::MAX);
    let name = pool.host.name.as_str();
    raise(
        py,
        "QueueFull",
        (name, most, queued, limits.max_workers, waited),
    )
}

pub(super) fn ended(py: Python<'_>, pool: &Arc<Executor<Pool>>, ending: Ending) -> PyErr {
    let name = pool.host.name.as_str();
    match ending {
        Ending::Shutdown => raise(py, "PoolShutdown", (name,)),
        Ending::Exit => raise(py, "PoolShutdown", (name, true)),
        Ending::Broken => raise(py, "PoolBroken", (name,)),
    }
}
