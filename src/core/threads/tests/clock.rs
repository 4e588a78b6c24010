//! The coarse clock. A node's time limit relies on it: what it shows must never
//! be much more than what has passed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::watcher::Counting;
use crate::core::testing::eventually;
use crate::core::threads::{coarse_seconds, watch};

/// Longer than the watcher waits before it sleeps, by several times `LATE`.
const IDLE: Duration = Duration::from_millis(500);

/// How late a tick may come on a busy machine.
const LATE: f64 = 0.2;

#[test]
fn the_clock_moves_while_something_is_watched() {
    let start = Instant::now();
    let watching = watch(Arc::new(Counting::default()));
    let first = coarse_seconds();
    eventually("fifty milliseconds pass", || {
        coarse_seconds() > first + 0.05
    });
    let shown = coarse_seconds() - first;
    assert!(shown <= start.elapsed().as_secs_f64() + LATE);
    drop(watching);
}

#[test]
fn a_node_that_starts_after_an_idle_time_does_not_look_slow() {
    drop(watch(Arc::new(Counting::default())));
    std::thread::sleep(IDLE);
    let start = Instant::now();
    let subject = Arc::new(Counting::default());
    let watching = watch(Arc::clone(&subject) as _);
    let started = coarse_seconds();
    eventually("the clock was set again", || subject.ticks() >= 3);
    let shown = coarse_seconds() - started;
    assert!(shown <= start.elapsed().as_secs_f64() + LATE, "{shown} s");
    drop(watching);
}

/// A worker may start a node while its caller awaits others, unwatched.
#[test]
fn a_node_that_starts_unwatched_does_not_look_slow_either() {
    drop(watch(Arc::new(Counting::default())));
    std::thread::sleep(IDLE);
    let start = Instant::now();
    let started = coarse_seconds();
    let watching = watch(Arc::new(Counting::default()));
    let shown = coarse_seconds() - started;
    assert!(shown <= start.elapsed().as_secs_f64() + LATE, "{shown} s");
    drop(watching);
}

#[test]
fn the_clock_is_right_while_nothing_is_watched() {
    drop(watch(Arc::new(Counting::default())));
    std::thread::sleep(IDLE);
    let before = coarse_seconds();
    std::thread::sleep(Duration::from_millis(50));
    assert!(coarse_seconds() - before >= 0.04);
}
