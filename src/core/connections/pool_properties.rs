//! The pool under every order of events.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use proptest::prelude::*;

use super::pool_bench::{Called, Subject, bounded, secs};
use super::{Asked, Condition, Handed, Lease, Next, Order, Pool, Quit, Rules, Task, Waiter};

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
