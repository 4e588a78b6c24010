//! The pool's state machine, step by step, at moments that the tests name.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{
    Asked, Condition, Driver, Handed, Lease, Next, NotOut, Order, Pool, Quit, Refusal, Rules, Task,
    Waiter,
};

type Subject = Pool<usize, &'static str>;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Remembers that it was called.
#[derive(Clone, Default)]
struct Called(Arc<AtomicBool>);

impl Driver<usize, &'static str> for Called {
    fn rouse(&self, _pool: &Arc<Subject>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A pool whose tasks are done when the test says so, with a clock of its own. Tasks are looked for
/// only when the pool calls, or at the moment that it named.
struct Bench {
    pool: Arc<Subject>,
    called: Called,
    alarm: Option<Instant>,
    now: Instant,
    made: usize,
    closed: Vec<usize>,
    reports: Vec<String>,
    is_down: bool,
    broken: HashSet<usize>,
}

impl Bench {
    fn new(rules: Rules) -> Self {
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
        };
        bench.pool.start(bench.now);
        bench.settle();
        bench
    }

    fn work(&mut self, task: Task<usize>) {
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
    fn settle(&mut self) {
        while self.called.0.swap(false, Ordering::Relaxed)
            || self.alarm.is_some_and(|alarm| alarm <= self.now)
        {
            self.alarm = loop {
                match self.pool.next(self.now) {
                    Next::Do(task, _) => self.work(task),
                    Next::Sleep(until) => break until,
                    Next::End => break None,
                }
            };
        }
    }

    /// Lets time go by, and does everything when it is due.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(alarm) = self.alarm.filter(|&alarm| alarm <= end) {
            assert!(alarm > self.now, "the same moment again and again");
            self.now = alarm;
            self.settle();
        }
        self.now = end;
    }

    fn take(&mut self) -> Option<(Lease, usize)> {
        let taken = self
            .pool
            .try_lend(self.now, false, |connection| *connection);
        self.settle();
        taken
    }

    fn queue(&mut self) -> Arc<Waiter<Handed>> {
        let asked = self.pool.ask(self.now, false, None, |_| ());
        self.settle();
        match asked {
            Ok(Asked::Queued(waiter)) => waiter,
            _ => panic!("it need not wait"),
        }
    }

    /// A connection, made if need be.
    fn get(&mut self) -> (Lease, usize) {
        if let Some(taken) = self.take() {
            return taken;
        }
        let waiter = self.queue();
        self.handed(&waiter).expect("one is made")
    }

    fn handed(&self, waiter: &Waiter<Handed>) -> Option<(Lease, usize)> {
        match waiter.take()? {
            Handed::Lease(lease) => {
                let connection = self.pool.view(lease, None, |connection| *connection);
                Some((lease, connection.expect("the lease holds")))
            }
            Handed::Closed => None,
        }
    }

    fn give(&mut self, lease: Lease, condition: Condition) {
        let back = self.pool.give_back(lease, condition, self.now, |_| ());
        assert!(back.is_some());
        self.settle();
    }
}

fn bounded(min_size: usize, max_size: usize) -> Rules {
    Rules {
        min_size,
        max_size,
        max_idle: None,
        max_lifetime: None,
        ..Rules::default()
    }
}

#[test]
fn the_least_size_is_made_at_once_and_again_after_each_loss() {
    let mut bench = Bench::new(bounded(3, 5));
    assert_eq!(bench.pool.gauges().idle, 3);
    for _ in 0..3 {
        let (lease, _) = bench.get();
        bench.give(lease, Condition::Broken);
        assert_eq!(bench.pool.gauges().idle, 3);
    }
    assert_eq!(bench.closed.len(), 3);
}

#[test]
fn one_who_waits_gets_what_comes_back_before_newcomers() {
    let mut bench = Bench::new(bounded(1, 1));
    let (lease, connection) = bench.get();
    let first = bench.queue();
    let second = bench.queue();
    bench.give(lease, Condition::Good);
    assert!(bench.take().is_none(), "it went to the first");
    assert!(second.take().is_none());
    let (lease, same) = bench.handed(&first).expect("it was served");
    assert_eq!(same, connection);
    // Broken ones are replaced for those who wait.
    bench.give(lease, Condition::Broken);
    assert_eq!(bench.handed(&second).expect("it was served").1, 2);
}

#[test]
fn one_who_gives_up_keeps_or_passes_on_what_came_in_that_moment() {
    let mut bench = Bench::new(bounded(1, 1));
    let (lease, _) = bench.get();
    let (first, second) = (bench.queue(), bench.queue());
    assert!(
        bench
            .pool
            .give_up(&first, Quit::TimedOut, bench.now)
            .is_none()
    );
    bench.give(lease, Condition::Good);
    let handed = bench.pool.give_up(&second, Quit::Cancelled, bench.now);
    bench
        .pool
        .pass_on(handed.expect("it was served"), bench.now);
    assert_eq!(bench.pool.gauges().idle, 1);
    let counters = bench.pool.counters();
    assert_eq!((counters.errors, counters.cancelled), (1, 1));
}

#[test]
fn foreign_and_returned_connections_are_told_apart() {
    let mut bench = Bench::new(bounded(1, 1));
    let (lease, connection) = bench.get();
    assert_eq!(bench.pool.lease_of(connection), Ok(lease));
    bench.give(lease, Condition::Good);
    let gauges = bench.pool.gauges();
    assert_eq!(
        bench.pool.lease_of(connection),
        Err(NotOut::AlreadyReturned)
    );
    assert_eq!(bench.pool.lease_of(99), Err(NotOut::Foreign));
    assert!(
        bench
            .pool
            .give_back(lease, Condition::Good, bench.now, |_| ())
            .is_none()
    );
    let (again, _) = bench.get();
    assert!(
        bench
            .pool
            .give_back(lease, Condition::Good, bench.now, |_| ())
            .is_none()
    );
    bench.give(again, Condition::Good);
    assert_eq!(bench.pool.gauges(), gauges);
}

#[test]
fn the_same_object_twice_is_no_new_connection() {
    let mut bench = Bench::new(bounded(1, 2));
    let (_lease, _) = bench.get();
    let asked = bench.pool.ask(bench.now, false, None, |_| ());
    assert!(matches!(asked, Ok(Asked::Queued(_))));
    let Next::Do(Task::Connect(ticket), false) = bench.pool.next(bench.now) else {
        panic!("a connection is needed");
    };
    assert_eq!(bench.pool.connected(ticket, 1, secs(0), bench.now), Err(1));
    bench.pool.failed(ticket, "twice", secs(0), bench.now);
    assert_eq!(bench.pool.gauges().size, 1);
    assert_eq!(bench.pool.last_error(|error| *error), Some("twice"));
}

#[test]
fn connections_are_checked_before_they_are_handed_out() {
    let mut bench = Bench::new(Rules {
        checks: true,
        ..bounded(2, 2)
    });
    assert!(bench.take().is_none(), "unchecked");
    bench.broken.insert(2);
    let (_, connection) = bench.get();
    assert_eq!(connection, 1, "the last one that was idle is broken");
    assert_eq!(bench.closed, [2]);
    assert_eq!(
        (bench.pool.counters().lost, bench.pool.gauges().idle),
        (1, 1)
    );
    bench.broken.extend([1, 3]);
    let (lease, connection) = bench.get();
    assert_eq!(connection, 4);
    // After its user's exception it is checked on its way back, too.
    bench.broken.insert(4);
    bench.give(lease, Condition::Suspect);
    assert!(bench.closed.contains(&4));
}

#[test]
fn attempts_pause_longer_each_time_and_end_when_one_succeeds() {
    let mut bench = Bench::new(bounded(0, 4));
    bench.is_down = true;
    let waiters = [bench.queue(), bench.queue(), bench.queue()];
    // Two attempts, before it is known that they fail, or as many as had begun.
    let mut attempts = vec![bench.pool.counters().attempts];
    for _ in 0..6 {
        bench.pass(secs(10));
        attempts.push(bench.pool.counters().attempts);
    }
    let late: Vec<u64> = attempts
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .skip(1)
        .collect();
    assert!(
        late.iter().all(|&many| (1..=3).contains(&many)),
        "every 5 s or so: {attempts:?}"
    );
    assert!(bench.pool.is_failing());
    bench.is_down = false;
    bench.pass(secs(7));
    for waiter in &waiters {
        assert!(bench.handed(waiter).is_some());
    }
    assert!(!bench.pool.is_failing());
    assert!(bench.pool.last_error(|_| ()).is_none());
}

#[test]
fn long_failures_are_reported_once_per_time_that_the_server_is_away() {
    let mut bench = Bench::new(bounded(0, 1));
    for times in 1..=2 {
        bench.is_down = true;
        let waiter = bench.queue();
        bench.pass(secs(1000));
        assert_eq!(bench.reports, vec!["ReportFailures"; times]);
        bench.is_down = false;
        bench.pass(secs(7));
        let (lease, _) = bench.handed(&waiter).expect("the server is back");
        bench.give(lease, Condition::Broken);
    }
}

#[test]
fn one_that_is_out_too_long_is_reported_once() {
    let mut bench = Bench::new(Rules {
        leak_limit: Some(secs(60)),
        ..bounded(0, 2)
    });
    let (lease, _) = bench.get();
    let (short, _) = bench.get();
    bench.pass(secs(59));
    bench.give(short, Condition::Good);
    assert_eq!(bench.reports.len(), 0);
    bench.pass(secs(600));
    assert_eq!(bench.reports, [format!("ReportLeak({lease:?}, 60s)")]);
    assert_eq!(bench.pool.counters().leaks, 1);
    bench.give(lease, Condition::Good);
}

#[test]
fn after_so_many_uses_a_connection_is_replaced() {
    let mut bench = Bench::new(Rules {
        max_uses: Some(3),
        ..bounded(0, 1)
    });
    let seen: Vec<usize> = (0..7)
        .map(|_| {
            let (lease, connection) = bench.get();
            bench.give(lease, Condition::Good);
            connection
        })
        .collect();
    assert_eq!(seen, [1, 1, 1, 2, 2, 2, 3]);
}

#[test]
fn draining_replaces_all_that_there_are() {
    let mut bench = Bench::new(bounded(3, 3));
    let (lease, _) = bench.get();
    bench.pool.drain(bench.now);
    bench.settle();
    assert_eq!(bench.closed.len(), 2);
    bench.give(lease, Condition::Good);
    assert_eq!(bench.closed.len(), 3);
    assert_eq!((bench.made, bench.pool.gauges().idle), (6, 3));
}

#[test]
fn a_smaller_pool_closes_what_is_too_much() {
    let mut bench = Bench::new(bounded(0, 4));
    let leases = [bench.get().0, bench.get().0, bench.get().0, bench.get().0];
    bench.give(leases[0], Condition::Good);
    bench.pool.resize(0, 2, bench.now);
    bench.settle();
    assert_eq!((bench.closed.len(), bench.pool.gauges().size), (1, 3));
    let waiter = bench.queue();
    bench.give(leases[1], Condition::Good);
    assert!(bench.handed(&waiter).is_none(), "one too many was out");
    bench.give(leases[2], Condition::Good);
    assert!(bench.handed(&waiter).is_some());
    bench.pool.resize(3, 3, bench.now);
    bench.settle();
    assert_eq!(bench.pool.gauges().size, 3);
}

#[test]
fn closing_answers_all_and_closes_everything_that_comes_back() {
    let mut bench = Bench::new(bounded(2, 2));
    let (lease, _) = bench.get();
    let (other, _) = bench.get();
    bench.give(other, Condition::Good);
    let _third = bench.get();
    let waiter = bench.queue();
    assert!(bench.pool.close(bench.now) && !bench.pool.close(bench.now));
    assert_eq!(waiter.take(), Some(Handed::Closed));
    bench.settle();
    assert!(bench.pool.is_wound_up());
    bench.give(lease, Condition::Good);
    assert_eq!(bench.closed.len(), 1);
    let refused = bench.pool.ask(bench.now, false, None, |_| ());
    assert!(matches!(refused, Err(Refusal::Closed)));
}

#[test]
fn an_attempt_under_way_when_the_pool_closes_is_closed() {
    let called = Called::default();
    let pool: Arc<Subject> = Pool::new(bounded(2, 2), 0, 1, Box::new(called));
    let now = Instant::now();
    pool.start(now);
    let Next::Do(Task::Connect(ticket), true) = pool.next(now) else {
        panic!("two are needed");
    };
    pool.close(now);
    assert!(!pool.is_wound_up());
    pool.connected(ticket, 1, secs(0), now).expect("it is new");
    assert!(matches!(pool.next(now), Next::Do(Task::Close(1), false)));
    pool.done();
    assert!(pool.is_wound_up() && matches!(pool.next(now), Next::End));
    assert_eq!(pool.gauges().size, 0);
}

#[test]
fn connections_made_together_do_not_end_together() {
    let mut bench = Bench::new(Rules {
        max_lifetime: Some(secs(3600)),
        ..bounded(10, 10)
    });
    bench.pass(secs(3600 * 9 / 10));
    assert_eq!(bench.closed.len(), 0);
    let mut closed_by_minute = Vec::new();
    for _ in 0..6 {
        bench.pass(secs(60));
        closed_by_minute.push(bench.closed.len());
    }
    assert_eq!(closed_by_minute[5], 10, "all within the last tenth");
    closed_by_minute.dedup();
    assert!(closed_by_minute.len() >= 3, "spread: {closed_by_minute:?}");
    assert_eq!(bench.pool.gauges().idle, 10);
}

/// A day of use by bursts, with quiet hours and two times without a server.
#[test]
fn a_day_in_a_moment() {
    const STEP: Duration = Duration::from_secs(7);
    let (lifetime, idle_time) = (secs(3600), secs(600));
    let mut bench = Bench::new(Rules {
        max_idle: Some(idle_time),
        max_lifetime: Some(lifetime),
        leak_limit: Some(secs(300)),
        ..bounded(2, 8)
    });
    let began = bench.now;
    let mut born = std::collections::HashMap::new();
    let mut out: Vec<(Lease, Instant)> = Vec::new();
    let mut line: Vec<Arc<Waiter<Handed>>> = Vec::new();
    let (mut dice, mut served, mut largest) = (0x2545_f491_u64, 0_u32, 0);
    let mut roll = move |most: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice % most
    };
    while bench.now < began + secs(24 * 3600) {
        let hour = (bench.now - began).as_secs() / 3600;
        bench.is_down = matches!(hour, 5 | 14) && (bench.now - began).as_secs() % 3600 < 900;
        let busy = hour % 4 != 3;
        let callers = if busy && line.len() < 20 { roll(8) } else { 0 };
        for _ in 0..callers {
            match bench
                .pool
                .ask(bench.now, false, None, |connection| *connection)
            {
                Ok(Asked::Lent(lease, connection)) => {
                    let age = bench.now - *born.entry(connection).or_insert(bench.now);
                    assert!(age < lifetime, "{connection} is {age:?} old");
                    out.push((lease, bench.now + secs(roll(20))));
                    served += 1;
                }
                Ok(Asked::Queued(waiter)) => line.push(waiter),
                Err(refusal) => panic!("{refusal:?}"),
            }
            bench.settle();
        }
        line.retain(|waiter| match bench.handed(waiter) {
            None => true,
            Some((lease, connection)) => {
                born.entry(connection).or_insert(bench.now);
                out.push((lease, bench.now + secs(roll(20))));
                served += 1;
                false
            }
        });
        for (lease, until) in std::mem::take(&mut out) {
            if until <= bench.now {
                let is_broken = bench.is_down || roll(50) == 0;
                bench.give(
                    lease,
                    if is_broken {
                        Condition::Broken
                    } else {
                        Condition::Good
                    },
                );
            } else {
                out.push((lease, until));
            }
        }
        let gauges = bench.pool.gauges();
        assert!(gauges.size <= 8, "{gauges:?}");
        assert_eq!(gauges.idle + gauges.in_use + gauges.connecting, gauges.size);
        assert_eq!(bench.made - bench.closed.len(), gauges.idle + gauges.in_use);
        largest = largest.max(gauges.size);
        // An hour without callers, but for the time that they had.
        if hour % 4 == 3 && (bench.now - began).as_secs() % 3600 > 700 {
            assert_eq!(gauges.size, 2, "{gauges:?} at {:?}", bench.now - began);
        }
        bench.pass(STEP);
    }
    assert_eq!(largest, 8);
    assert!(served > 10_000, "{served}");
    assert!(bench.pool.counters().failures > 10);
    assert!(
        bench
            .reports
            .iter()
            .filter(|report| *report == "ReportFailures")
            .count()
            == 2
    );
    assert!(
        !bench
            .reports
            .iter()
            .any(|report| report.starts_with("ReportLeak"))
    );
    // At rest nothing is looked at more often than connections get old.
    let attempts = bench.pool.counters().attempts;
    for (lease, _) in out {
        bench.give(lease, Condition::Good);
    }
    bench.pass(secs(7200));
    assert!(bench.pool.counters().attempts - attempts <= 6);
    assert_eq!(bench.pool.gauges().idle, 2);
}

#[derive(Clone, Debug)]
enum Step {
    Ask,
    Give(usize, Condition),
    GiveUp(usize, Quit),
    Work(bool),
    Pass(u64),
    Drain,
    Resize(usize, usize),
    Check,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let condition = prop_oneof![
        6 => Just(Condition::Good),
        1 => Just(Condition::Suspect),
        1 => Just(Condition::Unreset),
        1 => Just(Condition::UnresetSuspect),
        1 => Just(Condition::Broken),
        1 => Just(Condition::Dropped),
    ];
    let quit = prop_oneof![Just(Quit::TimedOut), Just(Quit::Cancelled)];
    let step = prop_oneof![
        6 => Just(Step::Ask),
        5 => (0..8_usize, condition).prop_map(|(which, condition)| Step::Give(which, condition)),
        1 => (0..8_usize, quit).prop_map(|(which, quit)| Step::GiveUp(which, quit)),
        8 => prop::bool::weighted(0.8).prop_map(Step::Work),
        2 => (1..2000_u64).prop_map(Step::Pass),
        1 => Just(Step::Drain),
        1 => (0..3_usize, 3..5_usize).prop_map(|(min, max)| Step::Resize(min, max)),
        1 => Just(Step::Check),
    ];
    prop::collection::vec(step, 1..100)
}

proptest! {
    /// Whatever happens in whatever order: no connection is lost or with two at once, those who
    /// wait are served in their order, and in the end everything is at rest.
    #[test]
    fn nothing_is_lost_or_handed_out_twice(
        steps in steps(),
        checks in any::<bool>(),
        lifo in any::<bool>(),
        min_size in 0..3_usize,
    ) {
        let rules = Rules {
            checks,
            order: if lifo { Order::Lifo } else { Order::Fifo },
            max_idle: Some(secs(600)),
            max_lifetime: Some(secs(3600)),
            max_uses: Some(5),
            ..bounded(min_size, 3)
        };
        let pool: Arc<Subject> = Pool::new(rules, 0, 1, Box::new(Called::default()));
        let mut now = Instant::now();
        pool.start(now);
        let mut alive = HashSet::new();
        let mut made = 0;
        let mut out: Vec<(Lease, usize)> = Vec::new();
        let mut line: Vec<Arc<Waiter<Handed>>> = Vec::new();
        let work = |task, is_good, now, alive: &mut HashSet<usize>, made: &mut usize| match task {
            Task::Connect(ticket) if is_good => {
                *made += 1;
                alive.insert(*made);
                assert!(pool.connected(ticket, *made, secs(0), now).is_ok());
            }
            Task::Connect(ticket) => pool.failed(ticket, "no", secs(0), now),
            Task::Check(ticket, connection) => pool.checked(ticket, connection, is_good, now),
            Task::Reset(ticket, connection) => pool.was_reset(ticket, connection, is_good, now),
            Task::Close(connection) => {
                assert!(alive.remove(&connection), "closed twice");
                pool.done();
            }
            _ => pool.done(),
        };
        for step in steps {
            let mut lent = Vec::new();
            match step {
                Step::Ask => match pool.ask(now, false, None, |connection| *connection) {
                    Ok(Asked::Lent(lease, connection)) => {
                        prop_assert!(line.is_empty() && !checks);
                        lent.push((lease, connection));
                    }
                    Ok(Asked::Queued(waiter)) => line.push(waiter),
                    Err(refusal) => panic!("{refusal:?}"),
                },
                Step::Give(which, condition) if !out.is_empty() => {
                    let (lease, _) = out.remove(which % out.len());
                    prop_assert!(pool.give_back(lease, condition, now, |_| ()).is_some());
                }
                Step::GiveUp(which, quit) if !line.is_empty() => {
                    let waiter = line.remove(which % line.len());
                    prop_assert!(pool.give_up(&waiter, quit, now).is_none());
                }
                Step::Work(is_good) => {
                    if let Next::Do(task, _) = pool.next(now) {
                        work(task, is_good, now, &mut alive, &mut made);
                    }
                }
                Step::Pass(seconds) => now += secs(seconds),
                Step::Drain => pool.drain(now),
                Step::Resize(min, max) => pool.resize(min, max, now),
                Step::Check => pool.check(),
                _ => {}
            }
            while let Some(handed) = line.first().and_then(|waiter| waiter.take()) {
                line.remove(0);
                let Handed::Lease(lease) = handed else { panic!("it is open") };
                let connection = pool.view(lease, None, |connection| *connection);
                lent.push((lease, connection.expect("the lease holds")));
            }
            prop_assert!(line.iter().all(|waiter| waiter.take().is_none()), "out of turn");
            for (lease, connection) in lent {
                prop_assert!(alive.contains(&connection), "handed out closed");
                prop_assert!(out.iter().all(|(_, other)| *other != connection), "handed out twice");
                out.push((lease, connection));
            }
            let gauges = pool.gauges();
            prop_assert_eq!(gauges.in_use, out.len());
            prop_assert_eq!(gauges.waiting, line.len());
            prop_assert_eq!(
                gauges.size,
                gauges.idle + gauges.in_use + gauges.tended + gauges.connecting
            );
            if !checks {
                prop_assert!(line.is_empty() || gauges.idle == 0, "one waits beside an idle one");
            }
        }
        // In the end: all come back, and all who still wait are served.
        loop {
            for (lease, _) in out.drain(..) {
                prop_assert!(pool.give_back(lease, Condition::Good, now, |_| ()).is_some());
            }
            while let Some(handed) = line.first().and_then(|waiter| waiter.take()) {
                line.remove(0);
                let Handed::Lease(lease) = handed else { panic!("it is open") };
                out.push((lease, 0));
            }
            match pool.next(now) {
                Next::Do(task, _) => work(task, true, now, &mut alive, &mut made),
                Next::Sleep(Some(until)) if !line.is_empty() => now = until.max(now),
                _ if out.is_empty() => break,
                _ => {}
            }
        }
        prop_assert!(line.is_empty());
        let gauges = pool.gauges();
        prop_assert_eq!(gauges.idle, alive.len());
        // Attempts may have to pause until the least size is there again.
        now += secs(60);
        while let Next::Do(task, _) = pool.next(now) {
            work(task, true, now, &mut alive, &mut made);
        }
        let gauges = pool.gauges();
        prop_assert!(gauges.idle >= gauges.min_size && gauges.idle <= gauges.max_size);
        pool.close(now);
        while let Next::Do(task, _) = pool.next(now) {
            work(task, true, now, &mut alive, &mut made);
        }
        prop_assert!(alive.is_empty() && pool.is_wound_up());
    }
}
