//! Random programs: every task that was accepted ends, once, and the counts add up.

use std::sync::atomic::AtomicUsize;

use proptest::prelude::*;

use super::*;
use crate::core::executor::{Ending, Room};

#[derive(Clone, Debug)]
enum Step {
    Submit(i64),
    SubmitAndWait(i64),
    Cancel(usize),
    Resize(usize, Option<usize>),
    Nested,
    Breathe,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (-1_i64..=1).prop_map(Step::Submit),
        3 => (-1_i64..=1).prop_map(Step::SubmitAndWait),
        3 => (0_usize..40).prop_map(Step::Cancel),
        1 => (1_usize..5, prop::option::of(1_usize..6)).prop_map(|(max, queue)| Step::Resize(max, queue)),
        2 => Just(Step::Nested),
        1 => Just(Step::Breathe),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn every_accepted_task_ends_once(steps in steps(), workers in 1_usize..4, queue in prop::option::of(1_usize..4)) {
        let pool = executor(workers, queue);
        let runs: Arc<AtomicUsize> = Arc::default();
        let mut accepted = 0_usize;
        let mut cancelled = 0;
        let mut flags = Vec::new();
        for step in steps {
            let count = Arc::clone(&runs);
            let state = Arc::new(AtomicBool::new(false));
            let claimed = Arc::clone(&state);
            // Whoever sets the flag first has the task: the worker, or who cancels.
            let plain = move || {
                if !claimed.swap(true, Ordering::AcqRel) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            };
            match step {
                Step::Submit(priority) => match pool.submit(job(plain), priority, false) {
                    Ok(_) => {
                        accepted += 1;
                        flags.push(state);
                    }
                    Err(Refused::Back(..)) => {}
                    Err(Refused::NoThread(_)) => prop_assert!(false),
                },
                Step::SubmitAndWait(priority) => {
                    if let Ok(Submission::Waits(place)) = pool.submit(job(plain), priority, true) {
                        prop_assert!(matches!(pool.wait_for_room(&place, PATIENCE), Room::Admitted));
                    }
                    accepted += 1;
                    flags.push(state);
                }
                Step::Cancel(which) => {
                    if let Some(flag) = flags.get(which)
                        && !flag.swap(true, Ordering::AcqRel)
                    {
                        // It stays in the queue as a task that does nothing.
                        cancelled += 1;
                    }
                }
                Step::Resize(max, queue) => pool.resize(limits(max, queue)),
                Step::Nested => {
                    let inner = Arc::clone(&pool);
                    let outer = job_of_worker(move |_| {
                        // The executor may be ending: then it is not run.
                        if inner.submit_beyond(job(plain), 0).is_none() {
                            inner.host.started.fetch_add(1 << 32, Ordering::Relaxed);
                        }
                    });
                    if let Ok(Submission::Waits(place)) = pool.submit(outer, 0, true) {
                        prop_assert!(matches!(pool.wait_for_room(&place, PATIENCE), Room::Admitted));
                    }
                }
                Step::Breathe => std::thread::yield_now(),
            }
        }
        pool.end(Ending::Shutdown);
        let left = pool.join(PATIENCE);
        prop_assert_eq!((left.threads, left.queued), (0, 0));
        let nested = (pool.host.started.load(Ordering::Relaxed) >> 32) as usize;
        prop_assert_eq!(runs.load(Ordering::Relaxed) + cancelled, accepted + nested);
        let seen = pool.statistics();
        prop_assert_eq!((seen.queued, seen.running), (0, 0));
        prop_assert_eq!(seen.submitted, seen.done);
        prop_assert_eq!(seen.queue_wait.count, seen.done);
    }
}
