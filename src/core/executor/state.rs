//! The executor's state, and when a thread is woken, started or sent home.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::core::sync::{AtomicUsize, Condvar, Mutex, MutexGuard, Ordering};
use crate::core::threads::fork_generation;

use super::metrics::{Metrics, Statistics};
use super::queue::PriorityQueue;
use super::stall::Stall;
use super::submission::Waiting;
use super::waits::{Interest, Waits};
use super::worker::Slot;
use super::{Ending, Host, Task};

/// How large an executor may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub max_workers: usize,
    /// Threads that stay however long they are idle.
    pub min_workers: usize,
    /// Tasks that may be queued; `None` for any number.
    pub max_queue: Option<usize>,
    pub idle_timeout: Duration,
}

/// Stale tasks that may lie in the queue before they are swept out; beyond that,
/// as many as there are others.
const FEW: usize = 64;

pub(super) struct Queued<T> {
    pub(super) task: T,
    pub(super) since: Instant,
}

pub(super) struct State<T> {
    pub(super) queue: PriorityQueue<Queued<T>>,
    /// Tasks in the queue that nobody waits for, or that are run from elsewhere.
    /// Below zero for a moment if one is found in the queue before it is counted.
    stale: isize,
    /// Workers that wait for a task, and since when; the last is the next to be woken.
    pub(super) idle: Vec<(Arc<Slot>, Instant)>,
    /// A worker is on its way to the queue.
    pub(super) on_its_way: bool,
    /// Workers that get ready and will come to the queue then.
    pub(super) preparing: usize,
    /// Threads that work, or may be asked to.
    pub(super) threads: usize,
    /// Threads that exist.
    pub(super) alive: usize,
    pub(super) most_threads: usize,
    next_number: u64,
    pub(super) limits: Limits,
    pub(super) waiting_for_room: VecDeque<Waiting<T>>,
    pub(super) next_ticket: u64,
    pub(super) ending: Option<Ending>,
    submitted: u64,
    cancelled: u64,
    /// Tasks taken from the queue, so that a standstill shows.
    pub(super) taken: u64,
}

/// What is to be done once the lock is released.
#[must_use]
pub(super) enum Action {
    Nothing,
    Wake(Arc<Slot>),
    Start(u64),
}

impl<T: Task> State<T> {
    fn new(limits: Limits) -> Self {
        Self {
            queue: PriorityQueue::default(),
            stale: 0,
            idle: Vec::new(),
            on_its_way: false,
            preparing: 0,
            threads: 0,
            alive: 0,
            most_threads: 0,
            next_number: 0,
            limits,
            waiting_for_room: VecDeque::new(),
            next_ticket: 0,
            ending: None,
            submitted: 0,
            cancelled: 0,
            taken: 0,
        }
    }

    /// Tasks that wait for a worker.
    pub(super) fn queued(&self) -> usize {
        self.queue
            .len()
            .saturating_sub(usize::try_from(self.stale).unwrap_or(0))
    }

    pub(super) fn is_full(&self) -> bool {
        self.limits
            .max_queue
            .is_some_and(|most| self.queued() >= most)
    }

    pub(super) fn push(&mut self, task: T, priority: i64, since: Instant) {
        self.submitted += 1;
        self.queue.push(priority, Queued { task, since });
    }

    /// Sends one worker to the queue, if tasks are left that none is coming for.
    pub(super) fn send_for_worker(&mut self) -> Action {
        let queued = self.queued();
        if self.on_its_way || queued == 0 {
            return Action::Nothing;
        }
        if let Some((slot, _)) = self.idle.pop() {
            self.on_its_way = true;
            slot.wake_for_task();
            return Action::Wake(slot);
        }
        // Those that get ready will come for as many.
        if queued > self.preparing && self.threads < self.limits.max_workers {
            return self.start();
        }
        Action::Nothing
    }

    /// Counts a thread that is then to be started.
    pub(super) fn start(&mut self) -> Action {
        self.on_its_way = true;
        self.threads += 1;
        self.alive += 1;
        self.most_threads = self.most_threads.max(self.threads);
        self.next_number += 1;
        Action::Start(self.next_number - 1)
    }

    /// Lets those in that wait for room, unless it is too late; the conditions of those let in are to be
    /// notified once the lock is released.
    pub(super) fn admit(&mut self) -> Vec<Arc<Slot>> {
        let mut admitted = Vec::new();
        while self.ending.is_none() && !self.waiting_for_room.is_empty() && !self.is_full() {
            if let Some(first) = self.waiting_for_room.pop_front() {
                first.ticket.wake_for_task();
                admitted.push(first.ticket);
                self.push(first.task, first.priority, first.since);
            }
        }
        admitted
    }

    /// Takes the next task that is not known to be stale.
    pub(super) fn pop(&mut self) -> Option<Queued<T>> {
        let queued = self.queue.pop();
        self.taken += u64::from(queued.is_some());
        queued
    }
}

/// A pool of threads; see the module.
pub struct Executor<H: Host> {
    pub host: H,
    pub metrics: Metrics,
    pub(super) state: Mutex<State<H::Task>>,
    /// A thread has gone.
    pub(super) left: Condvar,
    /// Workers that wait for tasks of this or another executor.
    waiting: Arc<AtomicUsize>,
    stall: Stall,
    generation: u64,
}

impl<H: Host> Executor<H> {
    pub fn new(host: H, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            host,
            metrics: Metrics::default(),
            state: Mutex::new(State::new(limits)),
            left: Condvar::new(),
            waiting: Arc::new(AtomicUsize::new(0)),
            stall: Stall::default(),
            generation: fork_generation(),
        })
    }

    /// Whether this is the process that made it. In a forked child its threads are
    /// missing, and its locks may be locked for ever.
    pub fn is_own(&self) -> bool {
        self.generation == fork_generation()
    }

    /// Does what was decided under the lock; `false` if a thread did not start.
    pub(super) fn act(self: &Arc<Self>, action: Action) -> bool {
        match action {
            Action::Nothing => true,
            Action::Wake(slot) => {
                slot.notify();
                true
            }
            Action::Start(number) => {
                let started = H::start(self, number);
                if !started {
                    let mut state = self.state.lock();
                    state.threads -= 1;
                    state.alive -= 1;
                    state.on_its_way = false;
                }
                started
            }
        }
    }

    /// Releases the lock, then tells everybody who was decided on.
    pub(super) fn settle(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State<H::Task>>,
        admitted: &[Arc<Slot>],
    ) -> bool {
        let action = state.send_for_worker();
        drop(state);
        for ticket in admitted {
            ticket.notify();
        }
        self.act(action)
    }

    /// A task in the queue became stale: `is_cancelled`, or else run by a worker
    /// that waits for it. Returns what is to be dropped.
    pub fn became_stale(self: &Arc<Self>, is_cancelled: bool) -> Vec<H::Task> {
        let mut state = self.state.lock();
        state.stale += 1;
        if is_cancelled {
            state.cancelled += 1;
        } else {
            state.taken += 1;
        }
        let mut swept = Vec::new();
        let dead = usize::try_from(state.stale).unwrap_or(0);
        if dead > FEW.max(state.queued()) {
            swept = state.queue.take_unless(|queued| !queued.task.is_stale());
            state.stale = state.stale.saturating_sub_unsigned(swept.len());
        }
        let admitted = state.admit();
        self.settle(state, &admitted);
        swept.into_iter().map(|queued| queued.task).collect()
    }

    /// Tasks that were taken from the queue turned out to be stale.
    pub fn were_stale(&self, count: usize) {
        let mut state = self.state.lock();
        state.stale = state.stale.saturating_sub_unsigned(count);
    }

    pub fn limits(&self) -> Limits {
        self.state.lock().limits
    }

    /// Counts a task that never comes to the queue.
    pub fn accept_unqueued(&self) {
        self.state.lock().submitted += 1;
    }

    pub fn queued(&self) -> usize {
        self.state.lock().queued()
    }

    pub fn threads(&self) -> usize {
        self.state.lock().threads
    }

    /// Sets new limits. Workers beyond them leave when they have ended what they
    /// do; those that wait for room may find some.
    pub fn resize(self: &Arc<Self>, limits: Limits) {
        let mut state = self.state.lock();
        state.limits = limits;
        let surplus = state.threads.saturating_sub(limits.max_workers);
        let idle = state.idle.len();
        // Those longest idle.
        let sent: Vec<_> = state.idle.drain(..surplus.min(idle)).collect();
        for (slot, _) in &sent {
            slot.wake();
        }
        let admitted = state.admit();
        self.settle(state, &admitted);
        for (slot, _) in sent {
            slot.notify();
        }
        self.fill();
    }

    /// Starts the threads that are to exist in any case, as far as the system
    /// lets it.
    pub fn fill(self: &Arc<Self>) {
        loop {
            let mut state = self.state.lock();
            if state.ending.is_some() || state.threads >= state.limits.min_workers {
                return;
            }
            let action = state.start();
            drop(state);
            if !self.act(action) {
                return;
            }
        }
    }

    /// The worker is about to wait for a task of this or another executor, until
    /// the guard is dropped or its own task ends: meanwhile it does not count
    /// towards `max_workers` where tasks stand still in the queue.
    pub fn interest(self: &Arc<Self>, waits: &Arc<Waits>) -> Interest {
        let interest = waits.begin();
        self.stall.watch(self);
        interest
    }

    pub(super) fn new_waits(&self) -> Arc<Waits> {
        Arc::new(Waits::new(Arc::clone(&self.waiting)))
    }

    pub(super) fn waiting_workers(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    pub(super) fn stall(&self) -> &Stall {
        &self.stall
    }

    /// Threads that may exist now.
    pub(super) fn allowed(&self, state: &State<H::Task>) -> usize {
        state.limits.max_workers + self.waiting_workers()
    }

    pub fn statistics(&self) -> Statistics {
        let mut statistics = Statistics::default();
        let now = Instant::now();
        let state = self.state.lock();
        statistics.submitted = state.submitted;
        statistics.queued = state.queued() as u64;
        statistics.cancelled = state.cancelled;
        statistics.threads = state.threads as u64;
        statistics.most_threads = state.most_threads as u64;
        statistics.waiting_for_room = state.waiting_for_room.len() as u64;
        statistics.idle_threads = state.idle.len() as u64;
        for (_, since) in &state.idle {
            statistics.idle += now.saturating_duration_since(*since);
        }
        drop(state);
        self.metrics.read(&mut statistics);
        statistics
    }
}
