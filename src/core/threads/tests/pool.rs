use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::core::locks::Mutex;
use crate::core::testing::{eventually, holds_in_a_child};
use crate::core::threads::{Job, WorkerPool, prepare_watcher};

const LONG: Duration = Duration::from_secs(20);

fn new_pool() -> &'static WorkerPool {
    Box::leak(Box::new(WorkerPool::new()))
}

fn body(pool: &'static WorkerPool, _number: usize) {
    while let Some(job) = pool.next_job() {
        job.work();
    }
}

/// Notes who worked on it; may keep its workers until let go.
#[derive(Default)]
struct Noting {
    held: AtomicBool,
    begun: AtomicUsize,
    workers: Mutex<Vec<String>>,
}

impl Noting {
    fn new(held: bool) -> Arc<Self> {
        let noting = Self::default();
        noting.held.store(held, Ordering::SeqCst);
        Arc::new(noting)
    }

    fn let_go(&self) {
        self.held.store(false, Ordering::SeqCst);
    }

    fn worked(&self) -> usize {
        self.workers.lock().len()
    }
}

impl Job for Noting {
    fn work(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
        while self.held.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let name = std::thread::current().name().unwrap_or("").to_owned();
        self.workers.lock().push(name);
    }
}

fn submit(pool: &WorkerPool, job: &Arc<Noting>, helpers: usize) {
    let job: Arc<dyn Job> = Arc::clone(job) as _;
    pool.submit(&job, helpers);
}

#[test]
fn threads_are_started_up_to_the_number_wanted() {
    let pool = new_pool();
    assert_eq!(pool.threads(), 0);
    assert_eq!(pool.ensure(2, body), 2);
    assert_eq!(pool.ensure(1, body), 2);
    assert_eq!(pool.ensure(3, body), 3);
    assert_eq!(pool.threads(), 3);
    pool.close(LONG);
    assert_eq!(pool.threads(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn threads_have_mapped_what_they_need_once_they_are_ensured() {
    let address_space = || {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').next().unwrap().parse::<usize>().unwrap() * 4096
    };
    // In a child no other test's thread maps anything.
    assert!(holds_in_a_child(|| {
        prepare_watcher();
        new_pool().ensure(12, body);
        let then = address_space();
        std::thread::sleep(Duration::from_millis(50));
        address_space().abs_diff(then) < 32 << 20
    }));
}

#[test]
fn each_helper_asked_for_works_once_on_a_thread_of_the_pool() {
    let pool = new_pool();
    pool.ensure(3, body);
    let job = Noting::new(true);
    submit(pool, &job, 3);
    eventually("all three begin", || job.begun.load(Ordering::SeqCst) == 3);
    job.let_go();
    eventually("all three end", || job.worked() == 3);
    let names: BTreeSet<String> = job.workers.lock().iter().cloned().collect();
    let expected = (1..=3).map(|number| format!("nexus-core-worker-{number}"));
    assert_eq!(names, expected.collect());
    pool.close(LONG);
    assert_eq!(job.worked(), 3);
}

#[test]
fn a_thread_is_told_its_number() {
    static NUMBERS: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    let pool = new_pool();
    pool.ensure(2, |pool, number| {
        NUMBERS.lock().push(number);
        body(pool, number);
    });
    eventually("both threads begin", || NUMBERS.lock().len() == 2);
    let mut numbers = NUMBERS.lock().clone();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2]);
    pool.close(LONG);
}

#[test]
fn no_more_helpers_are_asked_than_there_are_threads() {
    let pool = new_pool();
    pool.ensure(1, body);
    let (many, none, last) = (Noting::new(false), Noting::new(false), Noting::new(false));
    submit(pool, &many, 100);
    submit(pool, &none, 0);
    submit(pool, &last, 1);
    // The queue is first in, first out.
    eventually("the last job is done", || last.worked() == 1);
    assert_eq!(many.worked(), 1);
    assert_eq!(none.worked(), 0);
    pool.close(LONG);
}

/// The watcher asks again with each tick, for as long as a node keeps everybody.
#[test]
fn asking_again_while_all_workers_are_busy_piles_nothing_up() {
    let pool = new_pool();
    pool.ensure(2, body);
    let busy = Noting::new(true);
    submit(pool, &busy, 2);
    eventually("both are busy", || busy.begun.load(Ordering::SeqCst) == 2);
    let waiting = Noting::new(false);
    submit(pool, &waiting, 1);
    for _ in 0..1000 {
        submit(pool, &waiting, 2);
    }
    assert_eq!(
        Arc::strong_count(&waiting),
        3,
        "one request for each thread"
    );
    busy.let_go();
    eventually("nothing is queued", || Arc::strong_count(&waiting) == 1);
    assert_eq!(waiting.worked(), 2);
    pool.close(LONG);
}

#[test]
fn closing_waits_for_a_busy_worker_no_longer_than_its_grace() {
    let pool = new_pool();
    pool.ensure(2, body);
    let busy = Noting::new(true);
    submit(pool, &busy, 1);
    eventually("one is busy", || busy.begun.load(Ordering::SeqCst) == 1);
    pool.close(Duration::from_millis(50));
    assert_eq!(busy.worked(), 0, "closing did not wait for the node");
    eventually("the idle one has left", || pool.threads() == 1);
    busy.let_go();
    eventually("the busy one leaves when it is done", || {
        pool.threads() == 0
    });
    assert_eq!(busy.worked(), 1);
}

#[test]
fn a_closed_pool_takes_no_jobs_and_starts_no_threads() {
    let pool = new_pool();
    pool.ensure(2, body);
    let busy = Noting::new(true);
    submit(pool, &busy, 2);
    eventually("both are busy", || busy.begun.load(Ordering::SeqCst) == 2);
    let late = Noting::new(false);
    submit(pool, &late, 1);
    pool.close(Duration::ZERO);
    assert_eq!(Arc::strong_count(&late), 1, "what waited is dropped");
    submit(pool, &late, 1);
    assert_eq!(Arc::strong_count(&late), 1);
    // Those that are still busy will not help either.
    assert_eq!(pool.ensure(2, body), 0);
    assert_eq!(pool.ensure(4, body), 0);
    assert!(pool.next_job().is_none());
    busy.let_go();
    eventually("all have left", || pool.threads() == 0);
    assert_eq!(late.worked(), 0);
    pool.close(LONG);
}

struct AsksItsPool(&'static WorkerPool, Arc<AtomicBool>);

impl Job for AsksItsPool {
    fn work(&self) {}
}

impl Drop for AsksItsPool {
    fn drop(&mut self) {
        assert!(self.0.threads() > 0);
        self.1.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_job_that_closing_drops_may_use_the_pool() {
    let pool = new_pool();
    pool.ensure(1, body);
    let busy = Noting::new(true);
    submit(pool, &busy, 1);
    eventually("the worker is busy", || {
        busy.begun.load(Ordering::SeqCst) == 1
    });
    let dropped = Arc::new(AtomicBool::new(false));
    let job: Arc<dyn Job> = Arc::new(AsksItsPool(pool, Arc::clone(&dropped)));
    pool.submit(&job, 1);
    drop(job);
    std::thread::spawn(move || pool.close(Duration::ZERO));
    eventually("the job is dropped", || dropped.load(Ordering::SeqCst));
    busy.let_go();
    eventually("the worker has left", || pool.threads() == 0);
}

struct Panicking;

impl Job for Panicking {
    fn work(&self) {
        std::panic::resume_unwind(Box::new("on purpose"));
    }
}

#[test]
fn a_worker_that_panics_is_counted_out_and_replaced() {
    let pool = new_pool();
    pool.ensure(1, body);
    let job: Arc<dyn Job> = Arc::new(Panicking);
    pool.submit(&job, 1);
    eventually("the worker is gone", || pool.threads() == 0);
    assert_eq!(pool.ensure(1, body), 1);
    let next = Noting::new(false);
    submit(pool, &next, 1);
    eventually("the new one works", || next.worked() == 1);
    pool.close(LONG);
}

/// What is dispatched is one visit each: none of them stands for another.
#[test]
fn each_dispatched_job_is_done_once_and_in_turn() {
    let pool = new_pool();
    let (twice, last) = (Noting::new(false), Noting::new(false));
    // Nobody is there yet; it is done once somebody is.
    for _ in 0..2 {
        assert!(pool.dispatch(Arc::clone(&twice) as _));
    }
    assert!(pool.dispatch(Arc::clone(&last) as _));
    pool.ensure(1, body);
    eventually("the last job is done", || last.worked() == 1);
    assert_eq!(twice.worked(), 2);
    pool.close(LONG);
    assert_eq!((twice.worked(), last.worked()), (2, 1));
}

#[test]
fn jobs_dispatched_to_idle_workers_are_done_at_the_same_time() {
    let pool = new_pool();
    pool.ensure(3, body);
    let jobs: Vec<_> = (0..3).map(|_| Noting::new(true)).collect();
    for job in &jobs {
        assert!(pool.dispatch(Arc::clone(job) as _));
    }
    let begun = |job: &Arc<Noting>| job.begun.load(Ordering::SeqCst) == 1;
    eventually("all begin", || jobs.iter().all(begun));
    for job in &jobs {
        job.let_go();
    }
    eventually("all end", || jobs.iter().all(|job| job.worked() == 1));
    pool.close(LONG);
}

/// A wake-up that goes to a worker who finds nothing must not be missing to one
/// that would.
#[test]
fn no_job_is_left_behind_when_many_threads_dispatch_and_submit() {
    const EACH: usize = 2_000;
    let pool = new_pool();
    pool.ensure(3, body);
    let (visits, help) = (Noting::new(false), Noting::new(false));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (visits, help) = (Arc::clone(&visits), Arc::clone(&help));
            std::thread::spawn(move || {
                for turn in 0..EACH {
                    assert!(pool.dispatch(Arc::clone(&visits) as _));
                    if turn % 3 == 0 {
                        submit(pool, &help, 1 + turn % 2);
                    }
                    if turn % 16 == 0 {
                        std::thread::yield_now();
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("it does not panic");
    }
    eventually("all visits are made", || visits.worked() == 4 * EACH);
    eventually("nothing is queued", || Arc::strong_count(&help) == 1);
    assert!(help.worked() > 0);
    pool.close(LONG);
    assert_eq!(visits.worked(), 4 * EACH);
}

/// A job that makes the next one of a chain.
struct Chain {
    pool: &'static WorkerPool,
    left: usize,
    done: Arc<AtomicUsize>,
}

impl Job for Chain {
    fn work(&self) {
        self.done.fetch_add(1, Ordering::SeqCst);
        if let Some(left) = self.left.checked_sub(1) {
            let (pool, done) = (self.pool, Arc::clone(&self.done));
            assert!(pool.dispatch(Arc::new(Chain { pool, left, done })));
        }
    }
}

#[test]
fn a_worker_may_dispatch_what_comes_after_its_job() {
    let pool = new_pool();
    pool.ensure(2, body);
    let done = Arc::new(AtomicUsize::new(0));
    let left = 1_000;
    let first = Chain {
        pool,
        left,
        done: Arc::clone(&done),
    };
    assert!(pool.dispatch(Arc::new(first)));
    eventually("the chain is done", || {
        done.load(Ordering::SeqCst) == left + 1
    });
    pool.close(LONG);
}

#[test]
fn a_closed_pool_refuses_what_is_dispatched_and_drops_what_waits() {
    let pool = new_pool();
    pool.ensure(1, body);
    let busy = Noting::new(true);
    assert!(pool.dispatch(Arc::clone(&busy) as _));
    eventually("the worker is busy", || {
        busy.begun.load(Ordering::SeqCst) == 1
    });
    let late = Noting::new(false);
    assert!(pool.dispatch(Arc::clone(&late) as _));
    pool.close(Duration::ZERO);
    assert!(!pool.dispatch(Arc::clone(&late) as _));
    assert_eq!(Arc::strong_count(&late), 1);
    // Which may use the pool as it is dropped.
    let dropped = Arc::new(AtomicBool::new(false));
    let job: Arc<dyn Job> = Arc::new(AsksItsPool(pool, Arc::clone(&dropped)));
    assert!(!pool.dispatch(job));
    assert!(dropped.load(Ordering::SeqCst));
    busy.let_go();
    eventually("the worker has left", || pool.threads() == 0);
    assert_eq!(late.worked(), 0);
}
