//! How an executor ends.

use std::sync::mpsc::channel;

use super::*;
use crate::core::executor::{Ending, Refusal};

#[test]
fn what_is_queued_is_run_before_the_threads_leave() {
    let executor = executor(2, None);
    let gate = Gate::close(&executor, 2);
    for _ in 0..50 {
        submit(&executor, job(|| {}));
    }
    executor.end(Ending::Shutdown);
    let left = executor.join(Duration::from_millis(5));
    assert_eq!((left.threads, left.queued), (2, 50));
    gate.open();
    assert_eq!(executor.join(PATIENCE).threads, 0);
    assert_eq!(executor.statistics().done, 52);
}

#[test]
fn an_ended_executor_refuses_and_says_why() {
    let executor = executor(1, None);
    executor.end(Ending::Exit);
    executor.end(Ending::Shutdown);
    let refused = executor.submit(job(|| {}), 0, true);
    assert_eq!(refusal(&refused), Some(Refusal::Ended(Ending::Exit)));
    executor.end(Ending::Broken);
    assert_eq!(executor.ending(), Some(Ending::Broken));
    assert!(executor.submit_beyond(job(|| {}), 0).is_some());
    assert_eq!(executor.statistics().submitted, 0);
}

#[test]
fn an_executor_that_never_had_a_thread_ends_at_once() {
    let executor = executor(1, None);
    executor.end(Ending::Shutdown);
    assert_eq!(executor.join(Duration::ZERO).threads, 0);
}

#[test]
fn idle_threads_leave_at_the_end() {
    let executor = executor(3, None);
    Gate::close(&executor, 3).open();
    eventually("all are idle", || executor.statistics().idle_threads == 3);
    join(&executor);
}

#[test]
fn the_queue_can_be_emptied_for_others_to_cancel() {
    let executor = executor(1, None);
    let gate = Gate::close(&executor, 1);
    for _ in 0..3 {
        submit(&executor, job(|| panic!("it was taken out")));
    }
    executor.end(Ending::Shutdown);
    let taken = executor.take_all();
    assert_eq!(taken.len(), 3);
    for task in &taken {
        task.stale.store(true, Ordering::Release);
        drop(executor.became_stale(true));
    }
    executor.were_stale(3);
    gate.open();
    join(&executor);
    let seen = executor.statistics();
    assert_eq!((seen.submitted, seen.cancelled, seen.done), (4, 3, 1));
}

#[test]
fn a_task_submitted_by_the_last_task_is_refused_and_the_threads_leave() {
    let executor = executor(1, None);
    let (go, wait) = channel::<()>();
    let (told, tell) = channel();
    let pool = Arc::clone(&executor);
    submit(
        &executor,
        job(move || {
            let _ = wait.recv();
            told.send(refusal(&pool.submit(job(|| {}), 0, true)).is_some())
                .unwrap();
        }),
    );
    executor.end(Ending::Shutdown);
    drop(go);
    assert_eq!(tell.recv_timeout(PATIENCE), Ok(true));
    assert_eq!(executor.join(PATIENCE).threads, 0);
}
