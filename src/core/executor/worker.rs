//! A worker's side of the executor.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::core::sync::{AtomicBool, Condvar, MutexGuard, Ordering};

use super::state::State;
use super::waits::Waits;
use super::{Executor, Host, Interest};

/// Where one thread waits. Its flags change under the executor's lock only.
#[derive(Default)]
pub(super) struct Slot {
    condvar: Condvar,
    is_woken: AtomicBool,
    /// It was woken so that it takes a task, and not to look around.
    is_sent: AtomicBool,
}

impl Slot {
    /// To be followed by `notify`, which needs no lock.
    pub(super) fn wake(&self) {
        self.is_woken.store(true, Ordering::Relaxed);
    }

    pub(super) fn wake_for_task(&self) {
        self.is_sent.store(true, Ordering::Relaxed);
        self.wake();
    }

    pub(super) fn is_woken(&self) -> bool {
        self.is_woken.load(Ordering::Relaxed)
    }

    pub(super) fn notify(&self) {
        self.condvar.notify_one();
    }

    pub(super) fn wait<'a, T>(
        &self,
        state: MutexGuard<'a, State<T>>,
        limit: Duration,
    ) -> MutexGuard<'a, State<T>> {
        self.condvar.wait_for(state, limit)
    }

    fn reset(&self) {
        self.is_woken.store(false, Ordering::Relaxed);
        self.is_sent.store(false, Ordering::Relaxed);
    }
}

/// A task from the queue, and since when it was there.
pub struct Taken<T> {
    pub task: T,
    pub since: Instant,
}

/// One thread of an executor, until it is dropped.
pub struct Worker<H: Host> {
    executor: Arc<Executor<H>>,
    slot: Arc<Slot>,
    waits: Arc<Waits>,
    /// The executor counts on it to come to the queue and send for the next one.
    is_sent: bool,
    is_preparing: bool,
    /// It was counted out already.
    has_left: bool,
}

impl<H: Host> Executor<H> {
    /// The calling thread becomes the worker that `Host::start` was asked for.
    pub fn enter(self: &Arc<Self>) -> Worker<H> {
        Worker {
            executor: Arc::clone(self),
            slot: Arc::default(),
            waits: self.new_waits(),
            is_sent: true,
            is_preparing: false,
            has_left: false,
        }
    }
}

/// A worker that was sent to the queue is there.
fn arrive<T>(is_sent: &mut bool, state: &mut State<T>) {
    if std::mem::take(is_sent) {
        state.on_its_way = false;
    }
}

impl<H: Host> Worker<H> {
    pub fn executor(&self) -> &Arc<Executor<H>> {
        &self.executor
    }

    pub fn waits(&self) -> &Arc<Waits> {
        &self.waits
    }

    /// The worker needs a while before its first task: others are sent for, beside
    /// the one task that it will take.
    pub fn prepare(&mut self) {
        let mut state = self.executor.state.lock();
        arrive(&mut self.is_sent, &mut state);
        state.preparing += 1;
        self.is_preparing = true;
        self.executor.settle(state, &[]);
    }

    pub fn prepared(&mut self) {
        if std::mem::take(&mut self.is_preparing) {
            self.executor.state.lock().preparing -= 1;
        }
    }

    /// The next task, if there is one and this worker is not one too many.
    pub fn take(&mut self) -> Option<Taken<H::Task>> {
        let mut state = self.executor.state.lock();
        arrive(&mut self.is_sent, &mut state);
        if state.threads > self.executor.allowed(&state) {
            self.executor.settle(state, &[]);
            return None;
        }
        let queued = state.pop();
        if state.waiting_for_room.is_empty() {
            self.executor.settle(state, &[]);
        } else {
            let admitted = state.admit();
            self.executor.settle(state, &admitted);
        }
        queued.map(|queued| Taken {
            task: queued.task,
            since: queued.since,
        })
    }

    /// The task that the worker ran has ended.
    pub fn ended(&self) {
        self.waits.next_turn();
    }

    /// The worker is about to block until some task ends.
    pub fn interest(&self) -> Interest {
        self.executor.interest(&self.waits)
    }

    /// Blocks until there may be a task; `false` if the worker is to leave.
    pub fn wait(&mut self) -> bool {
        let executor = Arc::clone(&self.executor);
        let mut state = executor.state.lock();
        loop {
            arrive(&mut self.is_sent, &mut state);
            let is_surplus = state.threads > executor.allowed(&state);
            let is_empty = state.queue.len() == 0;
            if is_surplus || (is_empty && state.ending.is_some()) {
                self.leave(&mut state);
                executor.settle(state, &[]);
                return false;
            }
            if !is_empty {
                return true;
            }
            let since = Instant::now();
            self.slot.reset();
            state.idle.push((Arc::clone(&self.slot), since));
            let deadline = since.checked_add(state.limits.idle_timeout);
            loop {
                let left = deadline.map_or(Duration::MAX, |deadline| {
                    deadline.saturating_duration_since(Instant::now())
                });
                state = self.slot.wait(state, left);
                if self.slot.is_woken() {
                    break;
                }
                let is_over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
                if is_over && state.threads > state.limits.min_workers {
                    state
                        .idle
                        .retain(|(slot, _)| !Arc::ptr_eq(slot, &self.slot));
                    executor.metrics.idled(since.elapsed());
                    self.leave(&mut state);
                    return false;
                }
                if is_over {
                    // One of those that stay; the time starts anew.
                    state
                        .idle
                        .retain(|(slot, _)| !Arc::ptr_eq(slot, &self.slot));
                    self.slot.wake();
                    break;
                }
            }
            self.is_sent = self.slot.is_sent.load(Ordering::Relaxed);
            executor.metrics.idled(since.elapsed());
            if self.is_sent && state.queue.len() > 0 {
                // `take` counts the worker as arrived.
                return true;
            }
        }
    }

    fn leave(&mut self, state: &mut State<H::Task>) {
        self.has_left = true;
        state.threads -= 1;
    }
}

impl<H: Host> Drop for Worker<H> {
    fn drop(&mut self) {
        if !self.executor.is_own() {
            // In a forked child the parent's lock may stay locked for ever.
            return;
        }
        self.waits.next_turn();
        let executor = Arc::clone(&self.executor);
        let mut state = executor.state.lock();
        arrive(&mut self.is_sent, &mut state);
        if std::mem::take(&mut self.is_preparing) {
            state.preparing -= 1;
        }
        if !self.has_left {
            self.leave(&mut state);
        }
        state.alive -= 1;
        executor.left.notify_all();
        executor.settle(state, &[]);
    }
}
