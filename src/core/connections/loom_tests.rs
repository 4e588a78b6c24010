//! All interleavings of the hand-off: nothing is lost, and nobody sleeps on while
//! something is there for them.
//!
//! A wait that nobody ends is a deadlock, which loom reports.

use std::sync::Arc;
use std::time::{Duration, Instant};

use loom::model::Builder;
use loom::thread;

use super::{
    Asked, Condition, Driver, Entry, Grant, Handed, Identity, Lease, Next, Order, Pool, Quit,
    Rotation, Rules, Task, Waiter,
};

const LONG: Duration = Duration::from_secs(3600);

#[derive(Debug, PartialEq, Eq)]
struct Thing(usize);

impl Identity for Thing {
    fn key(&self) -> usize {
        self.0
    }
}

impl Identity for usize {
    fn key(&self) -> usize {
        *self
    }
}

fn explore(model: fn()) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// A rotation of one place, whose item is out.
fn one_out() -> Arc<Rotation<Thing>> {
    let rotation = Arc::new(Rotation::new(1, 1, Order::Fifo));
    assert_eq!(rotation.acquire(LONG), Some(Grant::Permit));
    rotation
}

fn use_once(rotation: &Rotation<Thing>) {
    match rotation.acquire(LONG) {
        Some(Grant::Item(item)) => assert!(matches!(rotation.release(item), Ok(None))),
        Some(Grant::Permit) => assert!(rotation.forfeit(None)),
        None => panic!("nobody gives up here"),
    }
}

#[test]
fn a_waiter_is_served_by_whoever_returns_or_forfeits() {
    for forfeits in [false, true] {
        let mut builder = Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(move || {
            let rotation = one_out();
            let waiter = {
                let rotation = Arc::clone(&rotation);
                thread::spawn(move || use_once(&rotation))
            };
            if forfeits {
                assert!(rotation.forfeit(None));
            } else {
                assert!(matches!(rotation.release(Thing(7)), Ok(None)));
            }
            waiter.join().expect("the waiter is served");
            let counts = rotation.counts();
            assert_eq!((counts.in_use, counts.waiting), (0, 0));
            assert_eq!(counts.idle, usize::from(!forfeits));
        });
    }
}

#[test]
fn one_who_gives_up_at_any_moment_loses_nothing() {
    explore(|| {
        let rotation = one_out();
        let Entry::Queued(waiter) = rotation.enter(true, None) else {
            panic!("the only place is taken");
        };
        let second = {
            let rotation = Arc::clone(&rotation);
            thread::spawn(move || use_once(&rotation))
        };
        let releaser = {
            let rotation = Arc::clone(&rotation);
            thread::spawn(move || assert!(matches!(rotation.release(Thing(7)), Ok(None))))
        };
        if let Some(Grant::Item(item)) = rotation.give_up(&waiter) {
            assert!(matches!(rotation.release(item), Ok(None)));
        }
        releaser.join().expect("the release is in order");
        second.join().expect("the second waiter is served");
        let counts = rotation.counts();
        assert_eq!((counts.idle, counts.in_use, counts.waiting), (1, 0, 0));
    });
}

#[test]
fn a_newcomer_never_overtakes_one_who_waits() {
    explore(|| {
        let rotation = one_out();
        let Entry::Queued(first) = rotation.enter(true, None) else {
            panic!("the only place is taken");
        };
        let newcomer = {
            let rotation = Arc::clone(&rotation);
            thread::spawn(move || match rotation.enter(false, None) {
                Entry::Unavailable => {}
                _ => panic!("it overtook the waiter"),
            })
        };
        assert!(matches!(rotation.release(Thing(7)), Ok(None)));
        newcomer.join().expect("it found nothing");
        assert_eq!(first.take(), Some(Grant::Item(Thing(7))));
    });
}

/// Nobody is called: the models do the pool's tasks themselves.
struct Silent;

impl Driver<usize, ()> for Silent {
    fn rouse(&self, _pool: &Arc<Pool<usize, ()>>) {}
}

/// A pool of one place, whose connection is out.
fn pool_with_one_out(checks: bool) -> (Arc<Pool<usize, ()>>, Lease, Instant) {
    let rules = Rules {
        max_size: 1,
        max_idle: None,
        max_lifetime: None,
        checks,
        ..Rules::default()
    };
    let now = Instant::now();
    let pool = Pool::new(rules, 0, 1, Box::new(Silent));
    let waiter = stand_in_line(&pool, now);
    work(&pool, now);
    let Some(Handed::Lease(lease)) = waiter.take() else {
        panic!("it was made for the waiter");
    };
    (pool, lease, now)
}

fn stand_in_line(pool: &Arc<Pool<usize, ()>>, now: Instant) -> Arc<Waiter<Handed>> {
    match pool.ask(now, false, None, |_| ()) {
        Ok(Asked::Queued(waiter)) => waiter,
        _ => panic!("the only place is taken"),
    }
}

/// Does the tasks that there are.
fn work(pool: &Arc<Pool<usize, ()>>, now: Instant) {
    while let Next::Do(task, _) = pool.next(now) {
        match task {
            Task::Connect(ticket) => {
                // Whatever the number: it has to be new.
                let number = pool.counters().attempts as usize;
                assert!(pool.connected(ticket, number, Duration::ZERO, now).is_ok());
            }
            Task::Check(ticket, number) => pool.checked(ticket, number, true, now),
            _ => pool.done(),
        }
    }
}

/// Waits, and returns what it got.
fn use_pool(pool: &Arc<Pool<usize, ()>>, waiter: &Waiter<Handed>, now: Instant) -> bool {
    match waiter.park(LONG) {
        Some(Handed::Lease(lease)) => {
            assert!(
                pool.give_back(lease, Condition::Good, now, |_| ())
                    .is_some()
            );
            work(pool, now);
            true
        }
        Some(Handed::Closed) => false,
        None => panic!("nobody gives up here"),
    }
}

#[test]
fn a_connection_that_comes_back_is_handed_on_past_one_who_gives_up() {
    for checks in [false, true] {
        let mut builder = Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(move || {
            let (pool, lease, now) = pool_with_one_out(checks);
            let first = stand_in_line(&pool, now);
            let second = stand_in_line(&pool, now);
            let user = {
                let pool = Arc::clone(&pool);
                thread::spawn(move || assert!(use_pool(&pool, &second, now)))
            };
            let returning = {
                let pool = Arc::clone(&pool);
                thread::spawn(move || {
                    assert!(
                        pool.give_back(lease, Condition::Good, now, |_| ())
                            .is_some()
                    );
                    work(&pool, now);
                })
            };
            if let Some(handed) = pool.give_up(&first, Quit::Cancelled, now) {
                pool.pass_on(handed, now);
                work(&pool, now);
            }
            returning.join().expect("it is returned");
            user.join().expect("the second is served");
            work(&pool, now);
            let gauges = pool.gauges();
            assert_eq!((gauges.idle, gauges.size, gauges.waiting), (1, 1, 0));
        });
    }
}

#[test]
fn everybody_is_answered_when_the_pool_closes() {
    explore(|| {
        let (pool, lease, now) = pool_with_one_out(false);
        let waiter = stand_in_line(&pool, now);
        let user = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || use_pool(&pool, &waiter, now))
        };
        let closing = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || assert!(pool.close(now)))
        };
        assert!(
            pool.give_back(lease, Condition::Good, now, |_| ())
                .is_some()
        );
        closing.join().expect("it closes");
        user.join().expect("the waiter is answered");
        work(&pool, now);
        assert!(pool.is_wound_up());
        assert_eq!(pool.gauges().size, 0);
    });
}

#[test]
fn a_broken_connection_is_replaced_for_one_who_waits() {
    explore(|| {
        let (pool, lease, now) = pool_with_one_out(false);
        let user = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || match pool.ask(now, false, None, |_| ()) {
                Ok(Asked::Queued(waiter)) => {
                    work(&pool, now);
                    assert!(use_pool(&pool, &waiter, now));
                }
                _ => panic!("there is none"),
            })
        };
        assert!(
            pool.give_back(lease, Condition::Broken, now, |_| ())
                .is_some()
        );
        work(&pool, now);
        user.join().expect("a new one is made");
        assert_eq!((pool.gauges().idle, pool.gauges().size), (1, 1));
    });
}
