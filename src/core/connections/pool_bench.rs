//! A pool whose tasks are done when a test says so, with a clock of its own.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Asked, Condition, Driver, Handed, Lease, Next, Pool, Rules, Task, Waiter};

pub(super) type Subject = Pool<usize, &'static str>;

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Remembers that it was called.
#[derive(Clone, Default)]
pub(super) struct Called(pub(super) Arc<AtomicBool>);

impl Driver<usize, &'static str> for Called {
    fn rouse(&self, _pool: &Arc<Subject>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A pool whose tasks are done when the test says so, with a clock of its own. Tasks are looked for
/// only when the pool calls, or at the moment that it named.
pub(super) struct Bench {
    pub(super) pool: Arc<Subject>,
    pub(super) called: Called,
    pub(super) alarm: Option<Instant>,
    pub(super) now: Instant,
    pub(super) made: usize,
    pub(super) closed: Vec<usize>,
    pub(super) reports: Vec<String>,
    pub(super) is_down: bool,
    pub(super) broken: HashSet<usize>,
    on_a_loop: bool,
    /// How often somebody had to look.
    pub(super) calls: usize,
}

impl Bench {
    pub(super) fn new(rules: Rules) -> Self {
        Self::driven(rules, false)
    }

    /// On an event loop tasks end some time after they were begun, and whoever ends them
    /// does not look for more.
    pub(super) fn driven(rules: Rules, on_a_loop: bool) -> Self {
        let called = Called::default();
        let pool = Pool::new(rules, 0, 7, Box::new(called.clone()));
        let mut bench = Self {
            pool,
            called,
            alarm: None,
            now: Instant::now(),
            made: 0,
            closed: Vec::new(),
            reports: Vec::new(),
            is_down: false,
            broken: HashSet::new(),
            on_a_loop,
            calls: 0,
        };
        bench.pool.start(bench.now);
        bench.settle();
        bench
    }

    pub(super) fn work(&mut self, task: Task<usize>) {
        let now = self.now;
        match task {
            Task::Connect(ticket) if self.is_down => {
                self.pool.failed(ticket, "down", secs(0), now);
            }
            Task::Connect(ticket) => {
                self.made += 1;
                assert!(self.pool.connected(ticket, self.made, secs(0), now).is_ok());
            }
            Task::Check(ticket, connection) => {
                let is_good = !self.is_down && !self.broken.contains(&connection);
                self.pool.checked(ticket, connection, is_good, now);
            }
            Task::Reset(ticket, connection) => {
                let is_good = !self.broken.contains(&connection);
                self.pool.was_reset(ticket, connection, is_good, now);
            }
            Task::Close(connection) => {
                self.closed.push(connection);
                self.pool.done();
            }
            other => {
                self.reports.push(format!("{other:?}"));
                self.pool.done();
            }
        }
    }

    /// Does what there is to do now.
    pub(super) fn settle(&mut self) {
        while self.called.0.swap(false, Ordering::Relaxed)
            || self.alarm.is_some_and(|alarm| alarm <= self.now)
        {
            self.calls += 1;
            let mut begun = Vec::new();
            self.alarm = loop {
                match self.pool.next(self.now) {
                    Next::Do(task, _) if self.on_a_loop => begun.push(task),
                    Next::Do(task, _) => self.work(task),
                    Next::Sleep(until) => break until,
                    Next::End => break None,
                }
            };
            for task in begun {
                self.work(task);
            }
        }
    }

    /// Lets time go by, and does everything when it is due.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(alarm) = self.alarm.filter(|&alarm| alarm <= end) {
            assert!(alarm > self.now, "the same moment again and again");
            self.now = alarm;
            self.settle();
        }
        self.now = end;
    }

    pub(super) fn take(&mut self) -> Option<(Lease, usize)> {
        let taken = self
            .pool
            .try_lend(self.now, false, |connection| *connection);
        self.settle();
        taken
    }

    pub(super) fn queue(&mut self) -> Arc<Waiter<Handed>> {
        let asked = self.pool.ask(self.now, false, None, |_| ());
        self.settle();
        match asked {
            Ok(Asked::Queued(waiter)) => waiter,
            _ => panic!("it need not wait"),
        }
    }

    /// A connection, made if need be.
    pub(super) fn get(&mut self) -> (Lease, usize) {
        if let Some(taken) = self.take() {
            return taken;
        }
        let waiter = self.queue();
        self.handed(&waiter).expect("one is made")
    }

    pub(super) fn handed(&self, waiter: &Waiter<Handed>) -> Option<(Lease, usize)> {
        match waiter.take()? {
            Handed::Lease(lease) => {
                let connection = self.pool.view(lease, None, |connection| *connection);
                Some((lease, connection.expect("the lease holds")))
            }
            Handed::Closed => None,
        }
    }

    pub(super) fn give(&mut self, lease: Lease, condition: Condition) {
        let back = self.pool.give_back(lease, condition, self.now, |_| ());
        assert!(back.is_some());
        self.settle();
    }
}

pub(super) fn bounded(min_size: usize, max_size: usize) -> Rules {
    Rules {
        min_size,
        max_size,
        max_idle: None,
        max_lifetime: None,
        ..Rules::default()
    }
}
