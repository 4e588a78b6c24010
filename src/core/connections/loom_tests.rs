//! All interleavings of the hand-off: nothing is lost, and nobody sleeps on while
//! something is there for them.
//!
//! A wait that nobody ends is a deadlock, which loom reports.

use std::sync::Arc;
use std::time::Duration;

use loom::model::Builder;
use loom::thread;

use super::{Entry, Grant, Identity, Order, Rotation};

const LONG: Duration = Duration::from_secs(3600);

#[derive(Debug, PartialEq, Eq)]
struct Thing(usize);

impl Identity for Thing {
    fn key(&self) -> usize {
        self.0
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
