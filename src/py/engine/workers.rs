//! The life of a worker thread: attached once, waiting detached; and how many
//! of them there must be.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pyo3::prelude::*;

use crate::core::locks::Mutex;
use crate::core::threads::{ForkLocal, WorkerPool, fork_generation, pool};

use super::lock_wait::detached;

/// How long the interpreter's exit waits for workers that are idle.
const CLOSE_GRACE: Duration = Duration::from_millis(500);

/// Workers started ahead for one run, at the most: more of them are started
/// once nodes are seen to wait for them.
const STARTED_AHEAD: usize = 32;

thread_local! {
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// Why workers that exist may not be there for a run.
#[derive(Default)]
struct Demand {
    /// Workers inside a node.
    busy: AtomicUsize,
    /// Workers inside a node of a run whose caller went away.
    lost: AtomicUsize,
    /// Workers that callers with a time limit must find free.
    reserved: AtomicUsize,
    /// Workers that visit runs which nobody's thread waits for, or are on
    /// their way to one.
    served: AtomicUsize,
}

static DEMAND: ForkLocal<Demand> = ForkLocal::new(Demand::default);

fn live(pool: &'static WorkerPool, number: usize) {
    IS_WORKER.set(true);
    let generation = fork_generation();
    Python::try_attach(|py| {
        // `threading.current_thread()` should know the thread by its name. A
        // failure only costs the name.
        let _ = name_thread(py, &format!("nexus-core-worker-{number}"));
        // A node that forks, and whose child returns, ends the child's only
        // thread here as it would end any other thread's.
        while generation == fork_generation()
            && let Some(job) = detached(py, || pool.next_job())
        {
            job.work();
        }
    });
}

pub(crate) fn name_thread(py: Python<'_>, name: &str) -> PyResult<()> {
    let thread = py.import("threading")?.call_method0("current_thread")?;
    thread.setattr("name", name)?;
    let version = py.version_info();
    let version = (version.major, version.minor, version.patch);
    if version < (3, 11, 8) || ((3, 12, 0)..(3, 12, 2)).contains(&version) {
        // There a process that a node forks makes this its main thread, and
        // fails at its end for want of the lock that other threads have
        // (python/cpython#102512).
        thread.call_method0("_set_tstate_lock")?;
    }
    Ok(())
}

/// Whether the calling thread is a worker: what it runs is nested in a node.
pub(crate) fn is_worker() -> bool {
    IS_WORKER.get()
}

/// Makes sure that workers exist before the first node runs: a node's memory
/// limit must not be what keeps a thread from starting. Returns how many do.
pub(crate) fn prepare_workers(wanted: usize) -> usize {
    add_workers(wanted.min(STARTED_AHEAD), is_worker())
}

/// Starts more workers for nodes that have waited for one, twice as many each
/// time.
pub(crate) fn grow_workers(waiting: usize, nested: bool) {
    add_workers(waiting.min(pool().threads().max(STARTED_AHEAD)), nested);
}

/// Runs of separate callers each get the workers they want. Nested runs share
/// those of the run around them, or their number would multiply at each depth.
fn add_workers(wanted: usize, nested: bool) -> usize {
    let demand = DEMAND.get();
    let taken = if nested { &demand.lost } else { &demand.busy };
    let reserved = demand.reserved.load(Ordering::Relaxed);
    let served = demand.served.load(Ordering::Relaxed);
    pool().ensure(
        wanted + taken.load(Ordering::Relaxed) + reserved + served,
        live,
    )
}

/// Makes sure that `wanted` workers exist for runs that nobody's thread waits for.
pub(crate) fn prepare_served(wanted: usize) -> usize {
    add_workers(wanted.min(STARTED_AHEAD), false)
}

/// Counts a visit until this is dropped.
pub(crate) struct Served(&'static Demand);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.served.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Makes sure that there is a worker for one more visit.
pub(crate) fn serve_one_more() -> Served {
    let demand = DEMAND.get();
    demand.served.fetch_add(1, Ordering::Relaxed);
    add_workers(0, false);
    Served(demand)
}

/// Workers reserved until this is dropped.
pub(crate) struct Reserved {
    demand: &'static Demand,
    workers: usize,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let reserved = &self.demand.reserved;
        reserved.fetch_sub(self.workers, Ordering::Relaxed);
    }
}

/// One more worker for a caller that waits for its nodes instead of running
/// them, and one in its own place if it is a worker itself: however many wait
/// for one another, some worker is free to run what they wait for.
pub(crate) fn reserve_worker() -> Reserved {
    let demand = DEMAND.get();
    let workers = 1 + usize::from(is_worker());
    demand.reserved.fetch_add(workers, Ordering::Relaxed);
    Reserved { demand, workers }
}

/// The workers inside nodes of one run.
pub(crate) struct Crew(Mutex<CrewState>);

struct CrewState {
    inside: usize,
    abandoned: bool,
}

impl Crew {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(CrewState {
            inside: 0,
            abandoned: false,
        }))
    }

    /// The calling worker enters a node, until the guard is dropped.
    pub(crate) fn enter(&self) -> Inside<'_> {
        self.0.lock().inside += 1;
        let demand = DEMAND.get();
        demand.busy.fetch_add(1, Ordering::Relaxed);
        Inside { crew: self, demand }
    }

    /// The caller goes away while nodes run: their workers are missing to others.
    pub(crate) fn abandon(&self) {
        let mut state = self.0.lock();
        if !state.abandoned {
            state.abandoned = true;
            let demand = DEMAND.get();
            demand.lost.fetch_add(state.inside, Ordering::Relaxed);
            drop(state);
            // Callers that wait already counted on those workers.
            add_workers(1, false);
        }
    }
}

/// A worker inside a node.
pub(crate) struct Inside<'a> {
    crew: &'a Crew,
    /// Where it was counted, also should the node fork.
    demand: &'static Demand,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let mut state = self.crew.0.lock();
        state.inside -= 1;
        self.demand.busy.fetch_sub(1, Ordering::Relaxed);
        if state.abandoned {
            self.demand.lost.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Sends idle workers home. Called once, when the interpreter exits.
#[pyfunction(name = "_close_workers")]
pub(crate) fn close_workers(py: Python<'_>) {
    py.detach(|| pool().close(CLOSE_GRACE));
}
