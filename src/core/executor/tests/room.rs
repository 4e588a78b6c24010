//! Waiting for room in the queue.

use std::sync::{Arc, Mutex};

use super::*;
use crate::core::executor::{Ending, Place, Refusal, Room};

fn wait(executor: &Arc<Executor<Threads>>, job: Job) -> Place {
    match executor.submit(job, 0, true) {
        Ok(Submission::Waits(place)) => place,
        _ => panic!("the queue is full"),
    }
}

#[test]
fn a_full_queue_refuses_and_says_how_full_it_is() {
    let executor = executor(1, Some(2));
    let gate = Gate::close(&executor, 1);
    submit(&executor, job(|| {}));
    submit(&executor, job(|| {}));
    let refused = executor.submit(job(|| panic!("it was refused")), 0, false);
    assert_eq!(refusal(&refused), Some(Refusal::Full { queued: 2 }));
    gate.open();
    join(&executor);
    let seen = executor.statistics();
    assert_eq!((seen.submitted, seen.done), (3, 3));
}

#[test]
fn those_that_wait_are_let_in_as_they_came() {
    let executor = executor(1, Some(1));
    let gate = Gate::close(&executor, 1);
    submit(&executor, job(|| {}));
    let order: Arc<Mutex<Vec<usize>>> = Arc::default();
    let places: Vec<_> = (0..5)
        .map(|number| {
            let order = Arc::clone(&order);
            wait(&executor, job(move || order.lock().unwrap().push(number)))
        })
        .collect();
    assert_eq!(executor.statistics().waiting_for_room, 5);
    gate.open();
    for place in &places {
        assert!(matches!(
            executor.wait_for_room(place, PATIENCE),
            Room::Admitted
        ));
    }
    join(&executor);
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
}

#[test]
fn who_gives_up_leaves_the_place_to_the_next() {
    let executor = executor(1, Some(1));
    let gate = Gate::close(&executor, 1);
    submit(&executor, job(|| {}));
    let first = wait(&executor, job(|| panic!("it was given up")));
    let second = wait(&executor, job(|| {}));
    let waited = executor.wait_for_room(&first, Duration::from_millis(5));
    assert!(matches!(waited, Room::NotYet));
    assert!(executor.give_up(&first).is_some());
    gate.open();
    let waited = executor.wait_for_room(&second, PATIENCE);
    assert!(matches!(waited, Room::Admitted));
    assert!(executor.give_up(&second).is_none());
    join(&executor);
}

#[test]
fn a_task_that_becomes_stale_makes_room() {
    let executor = executor(1, Some(1));
    let gate = Gate::close(&executor, 1);
    let unwanted = job(|| panic!("nobody wants it"));
    let stale = Arc::clone(&unwanted.stale);
    submit(&executor, unwanted);
    let place = wait(&executor, job(|| {}));
    stale.store(true, Ordering::Release);
    drop(executor.became_stale(true));
    let waited = executor.wait_for_room(&place, PATIENCE);
    assert!(matches!(waited, Room::Admitted));
    assert_eq!(executor.queued(), 1);
    gate.open();
    join(&executor);
    let seen = executor.statistics();
    assert_eq!((seen.done, seen.cancelled, seen.queued), (2, 1, 0));
}

#[test]
fn stale_tasks_do_not_pile_up() {
    let executor = executor(1, None);
    let gate = Gate::close(&executor, 1);
    for _ in 0..1000 {
        let unwanted = job(|| panic!("nobody wants it"));
        unwanted.stale.store(true, Ordering::Release);
        submit(&executor, unwanted);
        drop(executor.became_stale(true));
        assert!(executor.state.lock().queue.len() <= 65);
        assert_eq!(executor.queued(), 0);
    }
    gate.open();
    join(&executor);
    assert_eq!(executor.statistics().cancelled, 1000);
}

#[test]
fn a_larger_queue_lets_those_in_that_wait() {
    let executor = executor(1, Some(1));
    let gate = Gate::close(&executor, 1);
    submit(&executor, job(|| {}));
    let place = wait(&executor, job(|| {}));
    executor.resize(limits(1, Some(2)));
    let waited = executor.wait_for_room(&place, PATIENCE);
    assert!(matches!(waited, Room::Admitted));
    gate.open();
    join(&executor);
}

#[test]
fn the_end_gives_those_that_wait_their_tasks_back() {
    let executor = executor(1, Some(1));
    let gate = Gate::close(&executor, 1);
    submit(&executor, job(|| {}));
    let place = wait(&executor, job(|| panic!("it was given back")));
    executor.end(Ending::Shutdown);
    let waited = executor.wait_for_room(&place, PATIENCE);
    assert!(matches!(waited, Room::Ended(_, Ending::Shutdown)));
    gate.open();
    join(&executor);
}

#[test]
fn a_worker_may_go_beyond_the_bound() {
    let executor = executor(1, Some(1));
    let gate = Gate::close(&executor, 1);
    submit(&executor, job(|| {}));
    assert!(executor.submit_beyond(job(|| {}), 0).is_none());
    assert_eq!(executor.queued(), 2);
    gate.open();
    join(&executor);
}
