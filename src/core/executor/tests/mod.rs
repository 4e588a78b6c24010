//! The executor with plain closures as tasks.

mod ending;
mod queue;
mod random;
mod room;
mod threads;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::{Executor, Host, Interest, Limits, Refused, Submission, Task, Worker};

/// A slow machine may take this long for what takes milliseconds.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

type Body = dyn FnOnce(&Worker<Threads>) + Send;

pub(super) struct Job {
    run: Box<Body>,
    pub(super) stale: Arc<AtomicBool>,
}

impl Task for Job {
    fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Acquire)
    }
}

pub(super) fn job(run: impl FnOnce() + Send + 'static) -> Job {
    job_of_worker(move |_| run())
}

pub(super) fn job_of_worker(run: impl FnOnce(&Worker<Threads>) + Send + 'static) -> Job {
    Job {
        run: Box::new(run),
        stale: Arc::default(),
    }
}

#[derive(Default)]
pub(super) struct Threads {
    pub(super) refuses: AtomicBool,
    pub(super) started: AtomicU64,
    /// How long each thread gets ready.
    pub(super) preparation: Duration,
}

impl Host for Threads {
    type Task = Job;

    fn start(executor: &Arc<Executor<Self>>, _number: u64) -> bool {
        if executor.host.refuses.load(Ordering::Relaxed) {
            return false;
        }
        executor.host.started.fetch_add(1, Ordering::Relaxed);
        let executor = Arc::clone(executor);
        std::thread::spawn(move || {
            let mut worker = executor.enter();
            if !executor.host.preparation.is_zero() {
                worker.prepare();
                std::thread::sleep(executor.host.preparation);
                worker.prepared();
            }
            loop {
                while let Some(taken) = worker.take() {
                    if taken.task.is_stale() {
                        executor.were_stale(1);
                        continue;
                    }
                    executor.metrics.begun(taken.since.elapsed());
                    let began = Instant::now();
                    (taken.task.run)(&worker);
                    executor.metrics.ended(began.elapsed(), true);
                    worker.ended();
                }
                if !worker.wait() {
                    break;
                }
            }
        });
        true
    }
}

pub(super) fn limits(max_workers: usize, max_queue: Option<usize>) -> Limits {
    Limits {
        max_workers,
        min_workers: 0,
        max_queue,
        idle_timeout: Duration::from_secs(60),
    }
}

pub(super) fn executor(max_workers: usize, max_queue: Option<usize>) -> Arc<Executor<Threads>> {
    Executor::new(Threads::default(), limits(max_workers, max_queue))
}

pub(super) fn submit(executor: &Arc<Executor<Threads>>, job: Job) {
    assert!(matches!(
        executor.submit(job, 0, false),
        Ok(Submission::Queued)
    ));
}

/// Tasks that each occupy a worker until the gate is dropped.
pub(super) struct Gate {
    open: Option<Sender<()>>,
    arrived: Receiver<()>,
}

impl Gate {
    /// Occupies `workers` workers, all of which have begun when this returns.
    pub(super) fn close(executor: &Arc<Executor<Threads>>, workers: usize) -> Self {
        let (open, closed) = channel::<()>();
        let closed = Arc::new(std::sync::Mutex::new(closed));
        let (arrive, arrived) = channel();
        for _ in 0..workers {
            let (closed, arrive) = (Arc::clone(&closed), arrive.clone());
            submit(
                executor,
                job(move || {
                    arrive.send(()).unwrap();
                    let closed = closed
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    // An error: the gate was dropped.
                    let _ = closed.recv();
                }),
            );
        }
        for _ in 0..workers {
            arrived.recv_timeout(PATIENCE).expect("a worker comes");
        }
        Self {
            open: Some(open),
            arrived,
        }
    }

    pub(super) fn open(mut self) {
        drop(self.open.take());
        let _ = self.arrived.try_recv();
    }
}

pub(super) fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub(super) fn join(executor: &Arc<Executor<Threads>>) {
    executor.end(super::Ending::Shutdown);
    assert_eq!(executor.join(PATIENCE).threads, 0);
}

/// Kept, so that a worker's interest outlives the call.
pub(super) type Held = Option<Interest>;

pub(super) fn refusal<T>(outcome: &Result<Submission, Refused<T>>) -> Option<super::Refusal> {
    match outcome {
        Err(Refused::Back(_, refusal)) => Some(*refusal),
        _ => None,
    }
}
