//! Which runs' nodes are timed one by one.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The first runs of a workflow are all timed.
const FIRST_RUNS: u64 = 16;

/// Of nodes that take longer than this on average, to read the clock costs too little
/// to matter.
const LONG_NODE: u64 = 5_000;

/// Of others one run in so many is timed, and stands for as many.
pub const ONE_IN: u64 = 64;

/// Decides by what is known before a run, and by chance: what is measured is not
/// chosen by how long it takes, so that sums of it are right on average.
#[derive(Default)]
pub struct Sampler {
    runs: AtomicU64,
    /// Nanoseconds a node of the last run that went through.
    pace: AtomicU64,
}

impl Sampler {
    /// For how many runs the next one stands if it is timed; zero if it is not.
    #[inline]
    pub fn weight(&self) -> u32 {
        if self.runs.load(Ordering::Relaxed) < FIRST_RUNS {
            self.runs.fetch_add(1, Ordering::Relaxed);
            return 1;
        }
        if self.pace.load(Ordering::Relaxed) >= LONG_NODE {
            return 1;
        }
        if random().is_multiple_of(ONE_IN) {
            ONE_IN as u32
        } else {
            0
        }
    }

    /// A run of so many nodes has taken so long.
    #[inline]
    pub fn observe(&self, run: Duration, nodes: usize) {
        let nanos = u64::try_from(run.as_nanos()).unwrap_or(u64::MAX);
        self.pace
            .store(nanos / nodes.max(1) as u64, Ordering::Relaxed);
    }
}

thread_local! {
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// `SplitMix64`, of each thread its own sequence.
fn random() -> u64 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    STATE.with(|state| {
        // Where the thread keeps it tells threads apart.
        let before = match state.get() {
            0 => std::ptr::from_ref(state) as u64,
            before => before,
        };
        state.set(before.wrapping_add(STEP));
        let mut mixed = state.get();
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_runs_are_all_timed() {
        let sampler = Sampler::default();
        for _ in 0..FIRST_RUNS {
            assert_eq!(sampler.weight(), 1);
            sampler.observe(Duration::from_nanos(300), 1);
        }
    }

    #[test]
    fn of_short_runs_one_in_64_is_timed_and_stands_for_as_many() {
        let sampler = Sampler::default();
        let runs = 640_000;
        let total: u64 = (0..runs).map(|_| u64::from(sampler.weight())).sum();
        // Of 10,000 expected, three standard deviations are 300.
        let off = (total as f64 / f64::from(runs) - 1.0).abs();
        assert!(off < 0.04, "{total}");
    }

    #[test]
    fn runs_of_long_nodes_are_all_timed() {
        let sampler = Sampler::default();
        sampler.observe(Duration::from_millis(1), 100);
        for _ in 0..1000 {
            assert_eq!(sampler.weight(), 1);
        }
        sampler.observe(Duration::from_micros(1), 100);
        assert!((0..1000).any(|_| sampler.weight() == 0));
    }
}
