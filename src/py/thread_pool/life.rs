//! The life of a pool's thread: attached once, running tasks in a row as long as
//! there are any, and detached only to wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::core::executor::{Ending, Executor, Worker};
use crate::py::engine::{Ask, name_thread};
use crate::py::errors::{exception, raise};

use super::completion::{self, Change};
use super::future::Job;
use super::host::{Pool, run};
use super::seen::Seated;

/// How long a worker runs tasks that never look whether others want to run, such
/// as functions written in C; as long as the interpreter lets a thread run.
const TURN: Duration = Duration::from_millis(5);

pub(super) fn live(pool: &Arc<Executor<Pool>>, name: &str) {
    let mut worker = pool.enter();
    let asked = Instant::now();
    let attached = Python::try_attach(|py| {
        pool.metrics.attached(asked.elapsed());
        let seated = Seated::new(pool, worker.waits());
        // A failure costs the name, or a debugger's view of the thread.
        let _ = name_thread(py, name).and_then(|()| trace(py));
        if prepare(py, &mut worker) {
            work(py, &mut worker);
        }
        drop(seated);
        let _ = forget(py);
    });
    if attached.is_none() {
        // The interpreter goes down. Counted out, the worker would be replaced by
        // another that fares the same.
        std::mem::forget(worker);
    }
}

/// Has a debugger or profiler that wants to see all threads see this one.
fn trace(py: Python<'_>) -> PyResult<()> {
    let threading = py.import("threading")?;
    let sys = py.import("sys")?;
    for (get, set) in [("gettrace", "settrace"), ("getprofile", "setprofile")] {
        let hook = threading.call_method0(get)?;
        if !hook.is_none() {
            sys.call_method1(set, (hook,))?;
        }
    }
    Ok(())
}

/// The interpreter's list of threads keeps those that it did not start itself,
/// until 3.13.
fn forget(py: Python<'_>) -> PyResult<()> {
    if py.version_info() < (3, 13) {
        let threading = py.import("threading")?;
        let number = threading.call_method0("get_ident")?;
        threading
            .getattr("_active")?
            .call_method1("pop", (number, py.None()))?;
    }
    Ok(())
}

/// Calls the pool's initializer. Where that fails, the pool is broken.
fn prepare(py: Python<'_>, worker: &mut Worker<Pool>) -> bool {
    let pool = Arc::clone(worker.executor());
    let Some((initializer, args)) = &pool.host.initializer else {
        return true;
    };
    worker.prepare();
    let outcome = initializer.bind(py).invoke(args.bind(py).clone());
    worker.prepared();
    let Err(error) = outcome else {
        return true;
    };
    let text = "Exception in initializer:";
    if let Err(broken) = completion::log(py, "critical", text, None, Some(&error)) {
        broken.write_unraisable(py, None);
    }
    if pool.is_own() {
        pool.end(Ending::Broken);
        fail_all(py, &pool, pool.take_all());
    }
    false
}

/// Nobody will run these any more.
pub(super) fn fail_all(py: Python<'_>, pool: &Arc<Executor<Pool>>, jobs: Vec<Job>) {
    let count = jobs.len();
    for job in jobs {
        let error = raise(py, "PoolBroken", (pool.host.name.as_str(),));
        let error = exception(py, &error).into_any().unbind();
        completion::forsake(job.0.bind(py), error);
    }
    pool.were_stale(count);
}

/// Cancels all of these, which were taken from the queue.
pub(super) fn cancel_all(
    py: Python<'_>,
    pool: &Arc<Executor<Pool>>,
    jobs: Vec<Job>,
) -> PyResult<()> {
    let count = jobs.len();
    let mut interruption = Ok(());
    for job in jobs {
        if let Err(error) = completion::change(job.0.bind(py), Change::Cancel) {
            interruption = Err(error);
        }
    }
    pool.were_stale(count);
    interruption
}

fn work(py: Python<'_>, worker: &mut Worker<Pool>) {
    let pool = Arc::clone(worker.executor());
    let mut now = Instant::now();
    loop {
        let mut turn = now;
        while let Some(taken) = worker.take() {
            let job = taken.task;
            let Some(call) = job.0.get().claim() else {
                pool.were_stale(1);
                continue;
            };
            pool.metrics
                .begun(now.saturating_duration_since(taken.since));
            let future = job.0.into_bound(py);
            now = run(&pool, &future, call, now);
            drop(future);
            if !pool.is_own() {
                // The task forked, and its child came back here: it ends as any
                // other thread of the child would.
                return;
            }
            worker.ended();
            if now.saturating_duration_since(turn) > TURN {
                py.detach(|| ());
                now = Instant::now();
                turn = now;
            }
        }
        let (goes_on, woken) = py.detach(|| (worker.wait(), Instant::now()));
        now = Instant::now();
        pool.metrics.attached(now.saturating_duration_since(woken));
        if !goes_on {
            return;
        }
    }
}
