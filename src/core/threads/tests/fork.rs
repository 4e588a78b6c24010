//! What a forked child finds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::watcher::Counting;
use crate::core::testing::{eventually, holds_in_a_child};
use crate::core::threads::{ForkLocal, Job, WorkerPool, fork_generation, pool, watch};

#[test]
fn a_value_is_made_once_and_afresh_in_a_forked_child() {
    static MAKER: ForkLocal<u32> = ForkLocal::new(std::process::id);
    let own = MAKER.get();
    assert_eq!(*own, std::process::id());
    assert!(std::ptr::eq(own, MAKER.get()));
    let afresh = holds_in_a_child(|| {
        let childs = MAKER.get();
        *childs == std::process::id() && !std::ptr::eq(own, childs) && {
            // And a child of the child.
            std::ptr::eq(childs, MAKER.get())
                && holds_in_a_child(|| *MAKER.get() == std::process::id())
        }
    });
    assert!(afresh);
    assert!(std::ptr::eq(own, MAKER.get()), "the parent keeps its own");
}

#[test]
fn threads_that_ask_at_the_same_time_get_the_same_value() {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    static MAKER: ForkLocal<usize> = ForkLocal::new(|| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        MADE.fetch_add(1, Ordering::SeqCst)
    });
    let threads: Vec<_> = (0..8)
        .map(|_| std::thread::spawn(|| std::ptr::from_ref(MAKER.get()) as usize))
        .collect();
    let addresses: Vec<usize> = threads
        .into_iter()
        .map(|thread| thread.join().expect("the thread does not panic"))
        .collect();
    let kept = std::ptr::from_ref(MAKER.get()) as usize;
    assert!(addresses.iter().all(|&address| address == kept));
}

#[test]
fn the_generation_grows_by_one_in_each_forked_child() {
    let own = fork_generation();
    assert!(holds_in_a_child(|| {
        fork_generation() == own + 1
            && holds_in_a_child(|| fork_generation() == own + 2)
            && fork_generation() == own + 1
    }));
    assert_eq!(fork_generation(), own);
}

struct Counted(AtomicUsize);

impl Job for Counted {
    fn work(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn body(pool: &'static WorkerPool, _number: usize) {
    while let Some(job) = pool.next_job() {
        job.work();
    }
}

fn a_worker_does_a_job() {
    assert_eq!(pool().ensure(1, body), 1);
    let counted = Arc::new(Counted(AtomicUsize::new(0)));
    let job: Arc<dyn Job> = Arc::clone(&counted) as _;
    pool().submit(&job, 1);
    eventually("the job is done", || counted.0.load(Ordering::SeqCst) == 1);
}

#[test]
fn a_forked_child_has_workers_of_its_own() {
    a_worker_does_a_job();
    assert!(holds_in_a_child(|| {
        let none_at_first = pool().threads() == 0;
        a_worker_does_a_job();
        none_at_first
    }));
    a_worker_does_a_job();
}

#[test]
fn a_forked_child_has_a_watcher_of_its_own() {
    let subject = Arc::new(Counting::default());
    let watching = watch(Arc::clone(&subject) as _);
    eventually("a tick", || subject.ticks() > 0);
    assert!(holds_in_a_child(move || {
        // Its parent's watcher, which may be locked for ever.
        drop(watching);
        let own = Arc::new(Counting::default());
        let watching = watch(Arc::clone(&own) as _);
        eventually("a tick in the child", || own.ticks() > 2);
        drop(watching);
        true
    }));
}
