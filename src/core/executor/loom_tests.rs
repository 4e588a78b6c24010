//! All interleavings of small pools: hand-off, room in the queue, and the end.
//!
//! A wait that nobody ends is a deadlock, which loom reports; time limits are not
//! modelled, so a lost wake-up does not heal by itself.

use std::sync::Arc;
use std::sync::Mutex as PlainMutex;
use std::time::Duration;

use loom::model::Builder;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::{Ending, Executor, Host, Limits, Refused, Room, Submission, Task};

const SWITCHES: usize = 3;
const LONG: Duration = Duration::from_secs(1000);

struct Job(Arc<AtomicUsize>);

impl Task for Job {
    fn is_stale(&self) -> bool {
        false
    }
}

#[derive(Default)]
struct Threads(PlainMutex<Vec<thread::JoinHandle<()>>>);

impl Host for Threads {
    type Task = Job;

    fn start(executor: &Arc<Executor<Self>>, _number: u64) -> bool {
        let own = Arc::clone(executor);
        let handle = thread::spawn(move || {
            let mut worker = own.enter();
            loop {
                while let Some(taken) = worker.take() {
                    taken.task.0.fetch_add(1, Ordering::Relaxed);
                    worker.ended();
                }
                if !worker.wait() {
                    break;
                }
            }
        });
        executor.host.0.lock().unwrap().push(handle);
        true
    }
}

fn executor(max_workers: usize, max_queue: Option<usize>) -> Arc<Executor<Threads>> {
    Executor::new(
        Threads::default(),
        Limits {
            max_workers,
            min_workers: 0,
            max_queue,
            idle_timeout: Duration::MAX,
        },
    )
}

fn explore(model: fn()) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(SWITCHES);
    builder.check(model);
}

fn end(executor: &Arc<Executor<Threads>>) {
    executor.end(Ending::Shutdown);
    assert_eq!(executor.join(LONG).threads, 0);
    let handles = std::mem::take(&mut *executor.host.0.lock().unwrap());
    for handle in handles {
        handle.join().unwrap();
    }
}

#[test]
fn tasks_submitted_while_the_worker_goes_to_sleep_are_run() {
    explore(|| {
        let ran = Arc::new(AtomicUsize::new(0));
        let pool = executor(1, None);
        for _ in 0..2 {
            assert!(pool.submit(Job(Arc::clone(&ran)), 0, false).is_ok());
        }
        end(&pool);
        assert_eq!(ran.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn two_workers_share_what_two_threads_submit() {
    explore(|| {
        let ran = Arc::new(AtomicUsize::new(0));
        let pool = executor(2, None);
        let (other, count) = (Arc::clone(&pool), Arc::clone(&ran));
        let submitter = thread::spawn(move || {
            assert!(other.submit(Job(count), 0, false).is_ok());
        });
        assert!(pool.submit(Job(Arc::clone(&ran)), 0, false).is_ok());
        submitter.join().unwrap();
        end(&pool);
        assert_eq!(ran.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn whoever_waits_for_room_is_let_in() {
    explore(|| {
        let ran = Arc::new(AtomicUsize::new(0));
        let pool = executor(1, Some(1));
        for _ in 0..3 {
            match pool.submit(Job(Arc::clone(&ran)), 0, true) {
                Ok(Submission::Queued) => {}
                Ok(Submission::Waits(place)) => {
                    assert!(matches!(pool.wait_for_room(&place, LONG), Room::Admitted));
                }
                Err(_) => panic!("it may wait"),
            }
        }
        end(&pool);
        assert_eq!(ran.load(Ordering::Relaxed), 3);
    });
}

#[test]
fn a_submission_beside_the_end_is_run_or_refused() {
    explore(|| {
        let ran = Arc::new(AtomicUsize::new(0));
        let pool = executor(1, Some(1));
        let (other, count) = (Arc::clone(&pool), Arc::clone(&ran));
        let submitter = thread::spawn(move || {
            let mut accepted = 0;
            for _ in 0..2 {
                match other.submit(Job(Arc::clone(&count)), 0, true) {
                    Ok(Submission::Queued) => accepted += 1,
                    Ok(Submission::Waits(place)) => match other.wait_for_room(&place, LONG) {
                        Room::Admitted => accepted += 1,
                        Room::Ended(..) => {}
                        Room::NotYet => panic!("time is not modelled"),
                    },
                    Err(Refused::Back(..)) => {}
                    Err(Refused::NoThread(_)) => panic!("threads start"),
                }
            }
            accepted
        });
        pool.end(Ending::Shutdown);
        let accepted = submitter.join().unwrap();
        end(&pool);
        assert_eq!(ran.load(Ordering::Relaxed), accepted);
    });
}

#[test]
fn a_smaller_limit_loses_no_task() {
    explore(|| {
        let ran = Arc::new(AtomicUsize::new(0));
        let pool = executor(2, None);
        assert!(pool.submit(Job(Arc::clone(&ran)), 0, false).is_ok());
        let limits = pool.limits();
        pool.resize(Limits {
            max_workers: 1,
            ..limits
        });
        assert!(pool.submit(Job(Arc::clone(&ran)), 0, false).is_ok());
        end(&pool);
        assert_eq!(ran.load(Ordering::Relaxed), 2);
    });
}
