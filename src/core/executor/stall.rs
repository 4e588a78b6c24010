//! A pool whose workers wait for the tasks that it has queued.
//!
//! A worker that waits for a task does no work, so it need not count towards
//! `max_workers`. That is taken advantage of only where the queue stands still:
//! every thread is busy, and for some ticks none has taken a task. Then as many
//! threads are started beyond the limit, one after the other, as workers are
//! known to wait; they leave again once fewer wait.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use crate::core::locks::Mutex;
use crate::core::threads::{Watched, Watching, watch};

use super::state::Action;
use super::{Executor, Host};

/// Ticks of the process's watcher, a millisecond each, without progress.
const STANDSTILL: u32 = 10;

/// Ticks without a waiting worker after which the executor is not watched any more.
const NO_WAITERS: u32 = 100;

#[derive(Default)]
pub(super) struct Stall {
    watching: Mutex<Option<Watching>>,
    taken: AtomicU64,
    still: AtomicU32,
    without_waiters: AtomicU32,
}

/// The watcher holds no executor: it has no place where a task could be dropped.
struct Look<H: Host>(Weak<Executor<H>>);

impl<H: Host> Watched for Look<H> {
    fn tick(&self) {
        if let Some(executor) = self.0.upgrade() {
            executor.look_for_standstill();
        }
    }
}

impl Stall {
    pub(super) fn watch<H: Host>(&self, executor: &Arc<Executor<H>>) {
        let mut watching = self.watching.lock();
        if watching.is_none() {
            *watching = Some(watch(Arc::new(Look(Arc::downgrade(executor)))));
        }
    }

    /// Counts ticks while `is_so`; whether there were `enough`.
    fn lasts(ticks: &AtomicU32, is_so: bool, enough: u32) -> bool {
        if !is_so {
            ticks.store(0, Ordering::Relaxed);
            return false;
        }
        if ticks.fetch_add(1, Ordering::Relaxed) + 1 < enough {
            return false;
        }
        ticks.store(0, Ordering::Relaxed);
        true
    }
}

impl<H: Host> Executor<H> {
    /// One tick: starts a thread beyond the limit if it is time.
    pub(super) fn look_for_standstill(self: &Arc<Self>) {
        let stall = self.stall();
        let is_waited_for = self.waiting_workers() > 0;
        if Stall::lasts(&stall.without_waiters, !is_waited_for, NO_WAITERS) {
            let mut watching = stall.watching.lock();
            // Whoever waits counts before it asks to be watched.
            if self.waiting_workers() == 0 {
                let unneeded = watching.take();
                drop(watching);
                drop(unneeded);
            }
            return;
        }
        let mut state = self.state.lock();
        let taken = stall.taken.swap(state.taken, Ordering::Relaxed);
        let stands_still = is_waited_for
            && taken == state.taken
            && state.queued() > 0
            && state.idle.is_empty()
            && !state.on_its_way
            && state.preparing == 0;
        let mut action = Action::Nothing;
        if Stall::lasts(&stall.still, stands_still, STANDSTILL)
            && state.threads < self.allowed(&state)
        {
            action = state.start();
        }
        drop(state);
        self.act(action);
    }
}
