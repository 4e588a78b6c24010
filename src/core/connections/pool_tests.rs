//! The pool's state machine, step by step, at moments that the tests name.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::pool_bench::{Bench, Called, Subject, bounded, secs};
use super::{Asked, Condition, Handed, Next, NotOut, Pool, Quit, Refusal, Rules, Task, Wake};

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
    // The one that was passed on was used by nobody.
    assert_eq!(
        (counters.requests, bench.pool.usage.snapshot().count),
        (3, 1)
    );
}

#[test]
fn one_that_is_declined_is_replaced_and_counts_neither_as_used_nor_as_asked_for() {
    let mut bench = Bench::new(bounded(1, 1));
    let (lease, _) = bench.get();
    assert!(bench.pool.decline(lease, true, bench.now, |_| ()).is_some());
    assert!(bench.pool.decline(lease, true, bench.now, |_| ()).is_none());
    bench.settle();
    let (lease, connection) = bench.get();
    assert_eq!(connection, 2);
    bench.give(lease, Condition::Good);
    let counters = bench.pool.counters();
    assert_eq!((counters.requests, counters.lost), (1, 1));
    assert_eq!(bench.pool.usage.snapshot().count, 1);
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
    for on_a_loop in [false, true] {
        try_and_try_again(Bench::driven(bounded(0, 4), on_a_loop));
    }
}

fn try_and_try_again(mut bench: Bench) {
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

#[test]
fn one_that_comes_back_after_long_use_still_grows_old() {
    let mut bench = Bench::new(Rules {
        max_idle: Some(secs(600)),
        ..bounded(0, 2)
    });
    let (lease, _) = bench.get();
    // Long enough for everybody to stop looking.
    bench.pass(secs(5000));
    bench.give(lease, Condition::Good);
    bench.pass(secs(599));
    assert_eq!(bench.pool.gauges().idle, 1);
    bench.pass(secs(1));
    assert_eq!(bench.pool.gauges().size, 0);
}

#[test]
fn an_old_one_is_handed_to_nobody() {
    let rules = Rules {
        max_lifetime: Some(secs(3600)),
        lifetime_jitter: 0.0,
        ..bounded(0, 1)
    };
    // Idle, and whoever should have closed it is late.
    let mut bench = Bench::new(rules.clone());
    let (lease, old) = bench.get();
    bench.give(lease, Condition::Good);
    bench.now += secs(3600);
    assert!(bench.take().is_none());
    assert_eq!(bench.closed, [old]);
    // Out, while somebody waits for it.
    let mut bench = Bench::new(rules);
    let (lease, old) = bench.get();
    let waiter = bench.queue();
    bench.pass(secs(3600));
    bench.give(lease, Condition::Good);
    let (_, fresh) = bench.handed(&waiter).expect("another is made");
    assert_ne!(fresh, old);
}

#[test]
fn fast_use_is_no_reason_to_look_each_time() {
    for case in 0..8 {
        let (leaks, is_raw, late) = (case & 1 > 0, case & 2 > 0, case & 4 > 0);
        let mut bench = Bench::new(Rules {
            max_idle: Some(secs(600)),
            max_lifetime: Some(secs(3600)),
            leak_limit: leaks.then_some(secs(10)),
            ..bounded(0, 1)
        });
        let (lease, _) = bench.get();
        bench.give(lease, Condition::Good);
        let before = bench.calls;
        bench.called.0.store(true, Ordering::Relaxed);
        for _ in 0..1000 {
            let lent = bench.pool.try_lend(bench.now, is_raw, |_| ());
            // Who was called comes when they can: while it is out, or after that.
            if late {
                bench.settle();
            }
            let (lease, ()) = lent.expect("it is idle");
            let back = bench
                .pool
                .give_back(lease, Condition::Good, bench.now, |_| ());
            assert!(back.is_some());
            if !late {
                bench.settle();
            }
        }
        let calls = bench.calls - before;
        assert!(calls < 10, "{calls} calls with {leaks} {is_raw} {late}");
    }
}

/// Rings what it was given, and is noticed when it goes.
struct Chime(Arc<AtomicUsize>);

impl Wake for Chime {
    fn wake(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        true
    }
}

/// Of one who is gone, and did not say so.
struct Deaf;

impl Wake for Deaf {
    fn wake(&self) -> bool {
        false
    }
}

#[test]
fn what_nobody_is_left_to_take_goes_to_the_next() {
    let mut bench = Bench::new(bounded(1, 1));
    let (lease, connection) = bench.get();
    let stand = |bell: Option<Box<dyn Wake>>| match bench.pool.ask(bench.now, false, bell, |_| ()) {
        Ok(Asked::Queued(waiter)) => waiter,
        _ => panic!("the only place is taken"),
    };
    let gone: Vec<_> = (0..3).map(|_| stand(Some(Box::new(Deaf)))).collect();
    let next = stand(None);
    bench.give(lease, Condition::Good);
    let (lease, same) = bench.handed(&next).expect("it was served");
    assert_eq!(same, connection);
    bench.give(lease, Condition::Good);
    // Only now do they leave: that is when they count.
    assert_eq!(bench.pool.counters().cancelled, 0);
    for waiter in &gone {
        assert!(
            bench
                .pool
                .give_up(waiter, Quit::Cancelled, bench.now)
                .is_none()
        );
    }
    assert_eq!(bench.pool.counters().cancelled, 3);
    assert_eq!(
        (bench.pool.gauges().idle, bench.pool.gauges().waiting),
        (1, 0)
    );
}

#[test]
fn a_bell_rings_once_and_is_kept_no_longer_than_its_waiter_waits() {
    let mut bench = Bench::new(bounded(1, 1));
    let (lease, _) = bench.get();
    let rings = Arc::new(AtomicUsize::new(0));
    let stand = || {
        let bell: Box<dyn Wake> = Box::new(Chime(Arc::clone(&rings)));
        match bench.pool.ask(bench.now, false, Some(bell), |_| ()) {
            Ok(Asked::Queued(waiter)) => waiter,
            _ => panic!("the only place is taken"),
        }
    };
    let (first, second, third) = (stand(), stand(), stand());
    assert_eq!(Arc::strong_count(&rings), 4);
    // What is left of it in the line is only its place.
    assert!(
        bench
            .pool
            .give_up(&first, Quit::Cancelled, bench.now)
            .is_none()
    );
    assert!(
        bench
            .pool
            .give_up(&third, Quit::TimedOut, bench.now)
            .is_none()
    );
    assert_eq!(Arc::strong_count(&rings), 2);
    bench.give(lease, Condition::Good);
    assert_eq!(rings.load(Ordering::Relaxed), 1);
    assert!(bench.handed(&second).is_some());
    drop(second);
    assert_eq!(Arc::strong_count(&rings), 1);
}

#[test]
fn those_who_wait_have_the_clock_looked_at_while_a_thread_is_stuck() {
    let mut bench = Bench::new(bounded(0, 1));
    let called = bench.called.clone();
    let was_called = || called.0.swap(false, Ordering::Relaxed);
    let waiting = bench.queue();
    bench.pool.remind();
    assert!(!was_called(), "the connection is made, and somebody looks");
    let (lease, _) = bench.handed(&waiting).expect("it was served");
    assert!(
        bench
            .pool
            .give_back(lease, Condition::Broken, bench.now, |_| ())
            .is_some()
    );
    assert!(was_called());
    let Next::Do(closing, false) = bench.pool.next(bench.now) else {
        panic!("it is to be closed");
    };
    // Whoever closes it may never come back.
    bench.pool.remind();
    assert!(was_called());
    assert!(matches!(bench.pool.next(bench.now), Next::Sleep(_)));
    bench.pool.remind();
    assert!(!was_called());
    bench.work(closing);
}

#[test]
fn one_who_takes_a_task_has_another_come_unless_those_who_sleep_look_in_time() {
    let mut bench = Bench::new(Rules {
        max_idle: Some(secs(60)),
        ..bounded(0, 3)
    });
    let leases: Vec<_> = (0..3).map(|_| bench.get().0).collect();
    let broken = |bench: &Bench, lease| {
        let returned = bench
            .pool
            .give_back(lease, Condition::Broken, bench.now, |_| ());
        assert!(returned.is_some());
    };
    broken(&bench, leases[0]);
    let Next::Do(first, false) = bench.pool.next_of_many(bench.now, false) else {
        panic!("it is to be closed, and nothing will be due");
    };
    // What is idle will have been so for long enough.
    bench.give(leases[1], Condition::Good);
    broken(&bench, leases[2]);
    let Next::Do(second, true) = bench.pool.next_of_many(bench.now, false) else {
        panic!("it is to be closed, and nobody looks at the clock meanwhile");
    };
    bench.work(first);
    bench.work(second);
    let (lease, _) = bench.get();
    let (other, _) = bench.get();
    bench.give(other, Condition::Good);
    assert!(matches!(
        bench.pool.next_of_many(bench.now, false),
        Next::Sleep(Some(_))
    ));
    broken(&bench, lease);
    let Next::Do(last, false) = bench.pool.next_of_many(bench.now, true) else {
        panic!("it is to be closed, and one who sleeps looks in time");
    };
    bench.work(last);
}
