//! Worker threads, one pool a process, that all runs share.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::core::locks::{Condvar, Mutex};

use super::fork::ForkLocal;

/// Work that a thread may help with: each worker that takes it calls `work`
/// once and returns when there is nothing left to help with.
pub trait Job: Send + Sync {
    fn work(&self);
}

/// How a worker's thread spends its life: the binding attaches to the
/// interpreter there once, then asks the pool for jobs.
pub type ThreadBody = fn(&'static WorkerPool, usize);

/// The stack of a worker: what a thread made by the C library has by default,
/// so that a deeply recursive node fares the same on every thread.
const STACK_BYTES: usize = 8 << 20;

struct State {
    jobs: VecDeque<Arc<dyn Job>>,
    threads: usize,
    /// Threads that were asked for and do not run yet.
    starting: usize,
    closing: bool,
}

pub struct WorkerPool {
    state: Mutex<State>,
    available: Condvar,
    started: Condvar,
    emptied: Condvar,
}

static POOL: ForkLocal<WorkerPool> = ForkLocal::new(WorkerPool::new);

/// The process's pool; a forked child gets a new one.
pub fn pool() -> &'static WorkerPool {
    POOL.get()
}

impl WorkerPool {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                threads: 0,
                starting: 0,
                closing: false,
            }),
            available: Condvar::new(),
            started: Condvar::new(),
            emptied: Condvar::new(),
        }
    }

    /// Starts threads until `wanted` exist, and returns how many do, once they run:
    /// what a thread maps for its stack and heap may not be counted as what the
    /// caller's next node adds. Fewer than wanted when the system refuses one, which
    /// costs only parallelism; none once the pool closes, as those that still exist
    /// take no more jobs.
    pub fn ensure(&'static self, wanted: usize, body: ThreadBody) -> usize {
        let mut state = self.state.lock();
        while state.threads < wanted && !state.closing {
            state.threads += 1;
            state.starting += 1;
            let number = state.threads;
            drop(state);
            let started = std::thread::Builder::new()
                .name(format!("nexus-core-worker-{number}"))
                .stack_size(STACK_BYTES)
                .spawn(move || {
                    let _leaving = Leaving(self);
                    self.starts();
                    body(self, number);
                });
            state = self.state.lock();
            if started.is_err() {
                state.threads -= 1;
                state.starting -= 1;
                self.started.notify_all();
                break;
            }
        }
        // Those that others have asked for, too.
        while state.starting > 0 {
            state = self.started.wait(state);
        }
        if state.closing { 0 } else { state.threads }
    }

    /// A thread runs, and has a heap.
    fn starts(&self) {
        drop(std::hint::black_box(Box::new(0_u8)));
        self.state.lock().starting -= 1;
        self.started.notify_all();
    }

    /// Threads that exist now.
    pub fn threads(&self) -> usize {
        self.state.lock().threads
    }

    /// Asks up to `helpers` idle workers to help with `job`.
    pub fn submit(&self, job: &Arc<dyn Job>, helpers: usize) {
        if helpers == 0 {
            return;
        }
        {
            let mut state = self.state.lock();
            if state.closing {
                return;
            }
            // Busy workers come back to the queue; asking for more than exist,
            // or again for those already asked for, would only leave stale
            // requests behind.
            let asked = state.jobs.iter().filter(|queued| is_same(queued, job));
            let asked = asked.count();
            for _ in asked..helpers.min(state.threads) {
                state.jobs.push_back(Arc::clone(job));
            }
        }
        if helpers == 1 {
            self.available.notify_one();
        } else {
            self.available.notify_all();
        }
    }

    /// Has one worker do `job`, as soon as one is idle; whether it was accepted.
    pub fn dispatch(&self, job: Arc<dyn Job>) -> bool {
        {
            let mut state = self.state.lock();
            if state.closing {
                return false;
            }
            state.jobs.push_back(job);
        }
        self.available.notify_one();
        true
    }

    /// Blocks a worker until there is a job; `None` when the pool closes.
    pub fn next_job(&self) -> Option<Arc<dyn Job>> {
        let mut state = self.state.lock();
        loop {
            if state.closing {
                return None;
            }
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            state = self.available.wait(state);
        }
    }

    /// Sends idle workers home and waits for them, at most `grace`. A worker
    /// inside a node is not waited for any longer than that.
    pub fn close(&self, grace: Duration) {
        let deadline = Instant::now() + grace;
        let mut state = self.state.lock();
        state.closing = true;
        let unwanted = std::mem::take(&mut state.jobs);
        self.available.notify_all();
        // Outside the lock: a job may be the last to hold what it works on.
        drop(state);
        drop(unwanted);
        let mut in_time = true;
        state = self.state.lock();
        while in_time && state.threads > 0 {
            (state, in_time) = self.emptied.wait_until(state, deadline);
        }
    }
}

/// Whether both are the same object, whatever table of methods each came with.
fn is_same(one: &Arc<dyn Job>, other: &Arc<dyn Job>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}

/// Counts a thread out of its pool however it ends.
struct Leaving(&'static WorkerPool);

impl Drop for Leaving {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.threads -= 1;
        if state.threads == 0 {
            self.0.emptied.notify_all();
        }
    }
}
