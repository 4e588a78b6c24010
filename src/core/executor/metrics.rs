//! What an executor's tasks and threads did, counted without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::core::metrics::{Histogram, Snapshot};

/// Counted by whoever runs tasks, beside what the executor counts itself. How many
/// tasks began and ended, the histograms know.
#[derive(Default)]
pub struct Metrics {
    failed: AtomicU64,
    rejected: AtomicU64,
    ran_on_caller: AtomicU64,
    /// Nanoseconds that workers waited for something to do.
    idle: AtomicU64,
    /// Nanoseconds in which they had something to do and waited for their host.
    attaching: AtomicU64,
    /// Nanoseconds of tasks that ran elsewhere than on a worker that was free.
    elsewhere: AtomicU64,
    /// Nanoseconds spent telling others that a task has ended.
    telling: AtomicU64,
    queue_wait: Histogram,
    run_time: Histogram,
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Metrics {
    pub fn begun(&self, queue_wait: Duration) {
        self.queue_wait.record(queue_wait);
    }

    /// A task begins on the thread that brought it, or that waits for it.
    pub fn begun_on_caller(&self) {
        self.ran_on_caller.fetch_add(1, Ordering::Relaxed);
    }

    pub fn ended(&self, run_time: Duration, is_success: bool) {
        self.run_time.record(run_time);
        if !is_success {
            self.failed.fetch_add(1, Ordering::Release);
        }
    }

    /// A task that began there took so long. On a worker, it is part of another.
    pub fn ended_on_caller(&self, run_time: Duration) {
        self.elsewhere.fetch_add(nanos(run_time), Ordering::Relaxed);
    }

    /// It took so long to tell those who wanted to know of a task's end.
    pub fn told(&self, duration: Duration) {
        self.telling.fetch_add(nanos(duration), Ordering::Relaxed);
    }

    pub fn rejected(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn idled(&self, duration: Duration) {
        self.idle.fetch_add(nanos(duration), Ordering::Relaxed);
    }

    pub fn attached(&self, waited: Duration) {
        self.attaching.fetch_add(nanos(waited), Ordering::Relaxed);
    }

    pub(super) fn read(&self, statistics: &mut Statistics) {
        // In the order that leaves no count below zero: what failed was measured
        // before, and what ended has begun before.
        statistics.failed = self.failed.load(Ordering::Acquire);
        statistics.run_time = self.run_time.snapshot();
        statistics.queue_wait = self.queue_wait.snapshot();
        statistics.ran_on_caller = self.ran_on_caller.load(Ordering::Relaxed);
        let ended = statistics.run_time.count;
        let begun = statistics.queue_wait.count + statistics.ran_on_caller;
        statistics.done = ended.saturating_sub(statistics.failed);
        statistics.running = begun.saturating_sub(ended);
        statistics.rejected = self.rejected.load(Ordering::Relaxed);
        statistics.idle += Duration::from_nanos(self.idle.load(Ordering::Relaxed));
        statistics.attaching = Duration::from_nanos(self.attaching.load(Ordering::Relaxed));
        let elsewhere = Duration::from_nanos(self.elsewhere.load(Ordering::Relaxed));
        let telling = Duration::from_nanos(self.telling.load(Ordering::Relaxed));
        statistics.busy = (statistics.run_time.total + telling).saturating_sub(elsewhere);
    }
}

/// An executor as it was at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Tasks that were accepted.
    pub submitted: u64,
    pub queued: u64,
    pub running: u64,
    pub done: u64,
    pub failed: u64,
    pub cancelled: u64,
    pub rejected: u64,
    /// Of those that ran, how many on the thread that brought them.
    pub ran_on_caller: u64,
    /// Threads that wait for room in the queue.
    pub waiting_for_room: u64,
    pub threads: u64,
    pub idle_threads: u64,
    pub most_threads: u64,
    pub queue_wait: Snapshot,
    pub run_time: Snapshot,
    pub idle: Duration,
    pub attaching: Duration,
    pub busy: Duration,
}
