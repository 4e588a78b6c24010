use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::core::testing::eventually;
use crate::core::threads::{Watched, watch};

#[derive(Default)]
pub struct Counting(AtomicUsize);

impl Counting {
    pub fn ticks(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Watched for Counting {
    fn tick(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_watched_subject_is_looked_at_again_and_again() {
    let subject = Arc::new(Counting::default());
    let watching = watch(Arc::clone(&subject) as _);
    eventually("ten ticks", || subject.ticks() >= 10);
    drop(watching);
}

#[test]
fn a_subject_is_let_go_when_nobody_wants_it_watched() {
    let subject = Arc::new(Counting::default());
    let watching = watch(Arc::clone(&subject) as _);
    eventually("a tick", || subject.ticks() > 0);
    drop(watching);
    // The tick under way, if any, ends; then only this test holds it.
    eventually("it is let go", || Arc::strong_count(&subject) == 1);
    let ticks = subject.ticks();
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(subject.ticks(), ticks);
}

#[test]
fn subjects_are_watched_independently() {
    let subjects: Vec<Arc<Counting>> = (0..3).map(|_| Arc::default()).collect();
    let mut watching: Vec<_> = subjects
        .iter()
        .map(|subject| watch(Arc::clone(subject) as _))
        .collect();
    eventually("each is looked at", || {
        subjects.iter().all(|subject| subject.ticks() > 0)
    });
    drop(watching.remove(0));
    eventually("the first is let go", || {
        Arc::strong_count(&subjects[0]) == 1
    });
    let ticks = subjects[0].ticks();
    let before: Vec<usize> = subjects.iter().map(|subject| subject.ticks()).collect();
    eventually("the others are still looked at", || {
        (1..3).all(|other| subjects[other].ticks() > before[other] + 2)
    });
    assert_eq!(subjects[0].ticks(), ticks);
}

#[test]
fn a_parked_watcher_wakes_for_the_next_subject() {
    for _ in 0..3 {
        let subject = Arc::new(Counting::default());
        let watching = watch(Arc::clone(&subject) as _);
        eventually("a tick", || subject.ticks() > 0);
        drop(watching);
        // Longer than the watcher waits before it sleeps.
        std::thread::sleep(Duration::from_millis(150));
    }
}

/// Watches somebody else while it is looked at itself.
struct Nesting(Arc<Counting>, AtomicUsize);

impl Watched for Nesting {
    fn tick(&self) {
        drop(watch(Arc::clone(&self.0) as _));
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_tick_may_start_and_end_watching() {
    let subject = Arc::new(Nesting(Arc::default(), AtomicUsize::new(0)));
    let watching = watch(Arc::clone(&subject) as _);
    eventually("three ticks", || subject.1.load(Ordering::SeqCst) >= 3);
    drop(watching);
}
