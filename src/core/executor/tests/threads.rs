//! When threads are started, woken and sent home.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::*;

#[test]
fn a_task_runs_on_a_thread_started_for_it() {
    let executor = executor(2, None);
    assert_eq!(executor.threads(), 0);
    let (done, seen) = channel();
    submit(&executor, job(move || done.send(7).unwrap()));
    assert_eq!(seen.recv_timeout(PATIENCE), Ok(7));
    join(&executor);
    assert_eq!(executor.host.started.load(Ordering::Relaxed), 1);
}

#[test]
fn an_idle_worker_is_used_again() {
    let executor = executor(4, None);
    for _ in 0..20 {
        let (done, seen) = channel();
        submit(&executor, job(move || done.send(()).unwrap()));
        seen.recv_timeout(PATIENCE).unwrap();
        eventually("the worker is idle again", || {
            executor.statistics().idle_threads == 1
        });
    }
    assert_eq!(executor.threads(), 1);
    join(&executor);
}

#[test]
fn threads_grow_to_the_limit_while_all_are_blocked_and_no_further() {
    let executor = executor(3, None);
    let gate = Gate::close(&executor, 3);
    submit(&executor, job(|| {}));
    let seen = executor.statistics();
    assert_eq!((seen.threads, seen.running, seen.queued), (3, 3, 1));
    gate.open();
    join(&executor);
    assert_eq!(executor.statistics().done, 4);
    assert_eq!(executor.statistics().most_threads, 3);
}

#[test]
fn idle_threads_leave_down_to_the_minimum() {
    let executor = Executor::new(
        Threads::default(),
        Limits {
            min_workers: 1,
            idle_timeout: Duration::from_millis(20),
            ..limits(3, None)
        },
    );
    Gate::close(&executor, 3).open();
    eventually("two threads leave", || executor.threads() == 1);
    std::thread::sleep(Duration::from_millis(60));
    assert_eq!(executor.threads(), 1);
    Gate::close(&executor, 3).open();
    join(&executor);
}

#[test]
fn the_minimum_is_started_ahead() {
    let executor = Executor::new(
        Threads::default(),
        Limits {
            min_workers: 2,
            ..limits(3, None)
        },
    );
    executor.fill();
    eventually("both wait", || executor.statistics().idle_threads == 2);
    join(&executor);
}

#[test]
fn a_smaller_limit_sends_workers_home_once_their_tasks_ended() {
    let executor = executor(4, None);
    let gate = Gate::close(&executor, 4);
    for _ in 0..10 {
        submit(&executor, job(|| {}));
    }
    executor.resize(limits(1, None));
    assert_eq!(executor.threads(), 4);
    gate.open();
    eventually("one is left", || executor.threads() == 1);
    eventually("all ran", || executor.statistics().done == 14);
    join(&executor);
}

#[test]
fn a_smaller_limit_sends_idle_workers_home_at_once() {
    let executor = executor(4, None);
    Gate::close(&executor, 4).open();
    eventually("all are idle", || executor.statistics().idle_threads == 4);
    executor.resize(limits(2, None));
    eventually("two are left", || executor.threads() == 2);
    join(&executor);
}

#[test]
fn a_larger_limit_starts_a_thread_for_what_is_queued() {
    let executor = executor(1, None);
    let gate = Gate::close(&executor, 1);
    let (done, seen) = channel();
    submit(&executor, job(move || done.send(()).unwrap()));
    executor.resize(limits(2, None));
    seen.recv_timeout(PATIENCE).unwrap();
    gate.open();
    join(&executor);
}

#[test]
fn workers_that_prepare_for_long_do_so_at_the_same_time() {
    let executor = Executor::new(
        Threads {
            preparation: Duration::from_millis(300),
            ..Threads::default()
        },
        limits(4, None),
    );
    for _ in 0..4 {
        submit(&executor, job(|| {}));
    }
    eventually("four prepare", || {
        executor.host.started.load(Ordering::Relaxed) == 4
    });
    assert_eq!(executor.statistics().done, 0);
    join(&executor);
}

#[test]
fn one_task_starts_one_thread_however_long_that_prepares() {
    let executor = Executor::new(
        Threads {
            preparation: Duration::from_millis(20),
            ..Threads::default()
        },
        limits(4, None),
    );
    let (done, seen) = channel();
    submit(&executor, job(move || done.send(()).unwrap()));
    seen.recv_timeout(PATIENCE).unwrap();
    assert_eq!(executor.host.started.load(Ordering::Relaxed), 1);
    join(&executor);
}

#[test]
fn an_idle_worker_takes_a_task_although_another_prepares() {
    let executor = executor(3, None);
    let gate = Gate::close(&executor, 2);
    // One that will never be ready.
    let mut preparing = executor.enter();
    preparing.prepare();
    gate.open();
    eventually("both are idle", || executor.statistics().idle_threads == 2);
    let (done, seen) = channel();
    submit(&executor, job(move || done.send(()).unwrap()));
    seen.recv_timeout(PATIENCE).unwrap();
    preparing.prepared();
    // It was never counted as a thread.
    std::mem::forget(preparing);
    join(&executor);
}

#[test]
fn a_thread_that_the_system_refuses_costs_only_parallelism() {
    let executor = executor(2, None);
    let gate = Gate::close(&executor, 1);
    executor.host.refuses.store(true, Ordering::Relaxed);
    let (done, seen) = channel();
    submit(&executor, job(move || done.send(()).unwrap()));
    gate.open();
    seen.recv_timeout(PATIENCE).unwrap();
    join(&executor);
}

#[test]
fn without_any_thread_the_tasks_are_given_back() {
    let executor = executor(2, None);
    executor.host.refuses.store(true, Ordering::Relaxed);
    let Err(Refused::NoThread(tasks)) = executor.submit(job(|| {}), 0, false) else {
        panic!("nobody runs it");
    };
    assert_eq!(tasks.len(), 1);
    executor.host.refuses.store(false, Ordering::Relaxed);
    submit(&executor, job(|| {}));
    join(&executor);
}

/// The worker waits in a way that the executor does not see.
#[test]
fn a_worker_that_waits_for_a_queued_task_gets_a_thread_for_it() {
    let executor = executor(1, None);
    let (done, seen) = channel();
    let pool = Arc::clone(&executor);
    submit(
        &executor,
        job_of_worker(move |worker| {
            let (inner_done, inner_seen) = channel();
            submit(&pool, job(move || inner_done.send(()).unwrap()));
            let _interest = worker.interest();
            inner_seen.recv_timeout(PATIENCE).unwrap();
            done.send(()).unwrap();
        }),
    );
    seen.recv_timeout(PATIENCE).unwrap();
    eventually("the surplus leaves", || executor.threads() == 1);
    join(&executor);
    assert_eq!(executor.statistics().most_threads, 2);
}

#[test]
fn busy_workers_get_no_help_beyond_the_limit() {
    let executor = executor(1, None);
    let gate = Gate::close(&executor, 1);
    submit(&executor, job(|| {}));
    for _ in 0..100 {
        executor.look_for_standstill();
    }
    assert_eq!(executor.threads(), 1);
    gate.open();
    join(&executor);
}

#[test]
fn interest_ends_with_the_task_that_had_it() {
    let executor = executor(1, None);
    let held: Arc<std::sync::Mutex<Held>> = Arc::default();
    let (done, seen) = channel();
    let keep = Arc::clone(&held);
    submit(
        &executor,
        job_of_worker(move |worker| {
            *keep.lock().unwrap() = Some(worker.interest());
            done.send(()).unwrap();
        }),
    );
    seen.recv_timeout(PATIENCE).unwrap();
    eventually("nobody waits", || executor.waiting_workers() == 0);
    drop(held.lock().unwrap().take());
    assert_eq!(executor.waiting_workers(), 0);
    join(&executor);
}

#[test]
fn interest_of_a_task_that_has_ended_does_not_count_for_the_next() {
    let executor = executor(1, None);
    let held: Arc<std::sync::Mutex<Held>> = Arc::default();
    let keep = Arc::clone(&held);
    submit(
        &executor,
        job_of_worker(move |worker| *keep.lock().unwrap() = Some(worker.interest())),
    );
    let pool = Arc::clone(&executor);
    let (told, tell) = channel();
    submit(
        &executor,
        job_of_worker(move |worker| {
            let _own = worker.interest();
            drop(held.lock().unwrap().take());
            told.send(pool.waiting_workers()).unwrap();
        }),
    );
    assert_eq!(tell.recv_timeout(PATIENCE), Ok(1));
    join(&executor);
    assert_eq!(executor.waiting_workers(), 0);
}
