//! Which runs' nodes are timed one by one.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// The first runs of a workflow are all timed.
const FIRST_RUNS: u64 = 16;

/// Of nodes that take longer than this on average, to read the clock costs too little
/// to matter.
const LONG_NODE: u64 = 5_000;

/// Of others one run in so many is timed, and stands for as many.
pub const ONE_IN: u64 = 64;

/// Decides by what is known before a run, and by chance: what is measured is not
/// chosen by how long it takes, so that sums of it are right on average.
pub struct Sampler {
    /// How many of the first runs there have been.
    first: AtomicU64,
    /// How many runs are not timed before one is.
    left: AtomicU64,
    /// Nanoseconds that the last run took which went through.
    last: AtomicU64,
    /// From how many on its nodes were long.
    long: u64,
}

impl Sampler {
    /// For runs of so many nodes.
    pub fn new(nodes: usize) -> Self {
        Self {
            first: AtomicU64::new(0),
            left: AtomicU64::new(0),
            last: AtomicU64::new(0),
            long: LONG_NODE.saturating_mul(nodes.max(1) as u64),
        }
    }

    /// For how many runs the next one stands if it is timed; zero if it is not.
    #[inline]
    pub fn weight(&self) -> u32 {
        let left = self.left.load(Ordering::Relaxed);
        if left > 0 && self.last.load(Ordering::Relaxed) < self.long {
            // Where runs begin at the very same moment, one may stay uncounted here: the
            // next to be timed comes later by one, whichever that is.
            self.left.store(left - 1, Ordering::Relaxed);
            return 0;
        }
        self.weight_of_timed()
    }

    #[cold]
    fn weight_of_timed(&self) -> u32 {
        let first = self.first.load(Ordering::Relaxed);
        if first < FIRST_RUNS {
            self.first.store(first + 1, Ordering::Relaxed);
            if first + 1 == FIRST_RUNS {
                self.left.store(gap(), Ordering::Relaxed);
            }
            return 1;
        }
        if self.last.load(Ordering::Relaxed) >= self.long {
            return 1;
        }
        self.left.store(gap(), Ordering::Relaxed);
        ONE_IN as u32
    }

    /// A run has taken so many nanoseconds.
    #[inline]
    pub fn observe(&self, nanos: u64) {
        self.last.store(nanos, Ordering::Relaxed);
    }
}

thread_local! {
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// How many runs come before the next that is timed: as many as if each of them were, or
/// were not, by a throw of dice of its own.
#[allow(clippy::cast_sign_loss)] // both logarithms are negative or zero
fn gap() -> u64 {
    let chance = 1.0 / ONE_IN as f64;
    // Above zero, and at most one.
    let thrown = ((random() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    (thrown.ln() / (-chance).ln_1p()) as u64
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
        let sampler = Sampler::new(1);
        for _ in 0..FIRST_RUNS {
            assert_eq!(sampler.weight(), 1);
            sampler.observe(300);
        }
    }

    #[test]
    fn of_short_runs_one_in_64_is_timed_and_stands_for_as_many() {
        let sampler = Sampler::new(1);
        let runs = 640_000;
        let total: u64 = (0..runs).map(|_| u64::from(sampler.weight())).sum();
        // Of 10,000 expected, three standard deviations are 300.
        let off = (total as f64 / f64::from(runs) - 1.0).abs();
        assert!(off < 0.04, "{total}");
    }

    #[test]
    fn which_run_is_timed_does_not_depend_on_earlier_ones() {
        let total = 64_000;
        let gaps: Vec<u64> = (0..total).map(|_| gap()).collect();
        let share = |chosen: &dyn Fn(u64) -> bool| {
            gaps.iter().filter(|&&gap| chosen(gap)).count() as f64 / f64::from(total)
        };
        let mean = gaps.iter().sum::<u64>() as f64 / f64::from(total);
        assert!((mean - 63.0).abs() < 1.0, "{mean}");
        let missed = 1.0 - 1.0 / ONE_IN as f64;
        for runs in [1_u32, 2, 16, 64, 200] {
            let expected = missed.powf(f64::from(runs));
            let found = share(&|gap| gap >= u64::from(runs));
            assert!((found - expected).abs() < 0.008, "{runs}: {found}");
        }
    }

    #[test]
    fn runs_of_long_nodes_are_all_timed() {
        let sampler = Sampler::new(100);
        sampler.observe(1_000_000);
        for _ in 0..1000 {
            assert_eq!(sampler.weight(), 1);
        }
        sampler.observe(1_000);
        assert!((0..1000).any(|_| sampler.weight() == 0));
    }
}
