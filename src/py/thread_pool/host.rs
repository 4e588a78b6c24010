//! What belongs to a pool's threads, and the run of one task.

use std::sync::Arc;
use std::time::Instant;

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::core::executor::{Executor, Host};

use super::call::{Call, Outcome};
use super::completion;
use super::future::{FutureBase, Job};
use super::life;

/// The stack of a worker: what a thread made by the C library has by default.
const STACK_BYTES: usize = 8 << 20;

pub(crate) struct Pool {
    pub(super) name: String,
    pub(super) thread_name_prefix: String,
    pub(super) initializer: Option<(Py<PyAny>, Py<PyTuple>)>,
}

impl Host for Pool {
    type Task = Job;

    fn start(executor: &Arc<Executor<Self>>, number: u64) -> bool {
        let name = format!("{}_{number}", executor.host.thread_name_prefix);
        let own = Arc::clone(executor);
        std::thread::Builder::new()
            .name(name.replace('\0', ""))
            .stack_size(STACK_BYTES)
            .spawn(move || life::live(&own, &name))
            .is_ok()
    }
}

impl Pool {
    /// The same for another process.
    pub(super) fn again(&self, py: Python<'_>) -> Self {
        Self {
            name: self.name.clone(),
            thread_name_prefix: self.thread_name_prefix.clone(),
            initializer: self
                .initializer
                .as_ref()
                .map(|(call, args)| (call.clone_ref(py), args.clone_ref(py))),
        }
    }
}

/// Makes a claimed call and ends its future; returns when all that was over.
pub(super) fn run(
    pool: &Arc<Executor<Pool>>,
    future: &Bound<'_, FutureBase>,
    call: Call,
    began: Instant,
) -> Instant {
    let outcome = call.make(future.py());
    let ended = Instant::now();
    let is_success = matches!(outcome, Outcome::Returned(_));
    if pool.is_own() {
        // Before anybody hears of it: who waited finds it counted.
        pool.metrics
            .ended(ended.saturating_duration_since(began), is_success);
    }
    if !completion::end(future, outcome) {
        return ended;
    }
    // Callbacks are no part of the task, nor of the next one.
    let told = Instant::now();
    pool.metrics.told(told.saturating_duration_since(ended));
    told
}

/// Makes a claimed call on the thread that submitted it or that waits for it.
pub(super) fn run_here(pool: &Arc<Executor<Pool>>, future: &Bound<'_, FutureBase>, call: Call) {
    pool.metrics.begun_on_caller();
    let began = Instant::now();
    let ended = run(pool, future, call, began);
    if pool.is_own() {
        pool.metrics
            .ended_on_caller(ended.saturating_duration_since(began));
    }
}
