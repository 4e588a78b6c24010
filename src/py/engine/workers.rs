//! The life of a worker thread: attached once, waiting detached.

use std::time::Duration;

use pyo3::prelude::*;

use crate::core::threads::{WorkerPool, pool};

/// How long the interpreter's exit waits for workers that are idle.
const CLOSE_GRACE: Duration = Duration::from_millis(500);

fn live(pool: &'static WorkerPool, number: usize) {
    Python::try_attach(|py| {
        // `threading.current_thread()` should know the thread by its name. A
        // failure only costs the name.
        let _ = name_thread(py, number);
        while let Some(job) = py.detach(|| pool.next_job()) {
            job.work();
        }
    });
}

fn name_thread(py: Python<'_>, number: usize) -> PyResult<()> {
    py.import("threading")?
        .call_method0("current_thread")?
        .setattr("name", format!("nexus-core-worker-{number}"))
}

/// Makes sure that `wanted` workers exist before the first node runs: a node's
/// memory limit must not be what keeps a thread from starting.
pub(crate) fn prepare_workers(wanted: usize) -> usize {
    pool().ensure(wanted, live)
}

/// Sends idle workers home. Called once, when the interpreter exits.
#[pyfunction(name = "_close_workers")]
pub(crate) fn close_workers(py: Python<'_>) {
    py.detach(|| pool().close(CLOSE_GRACE));
}
