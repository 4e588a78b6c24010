//! Whether runs of a graph are so short that a thread of their own is not worth
//! its while: what an event loop may run itself.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Handing a run to a thread and back costs about as much.
const SHORT_SECONDS: f64 = 0.000_1;

/// A run that takes this long must not be in anybody's way again.
const LONG_SECONDS: f64 = 0.001;

/// A run that takes this long has blocked, whatever else the machine was doing.
const BLOCKED_SECONDS: f64 = 0.02;

/// Short runs in a row that make a habit.
const HABIT: u32 = 3;

/// How many times more it takes after each long run.
const PENALTY: u32 = 10;

/// Long runs after which a habit is not believed any more.
const LONG_RUNS: u32 = 3;

/// Learns from how long runs take, all nodes one after the other.
pub struct Brevity {
    runs: AtomicU32,
    short_in_a_row: AtomicU32,
    needed: AtomicU32,
    long_runs: AtomicU32,
    blocks: AtomicBool,
}

impl Default for Brevity {
    fn default() -> Self {
        Self::new()
    }
}

impl Brevity {
    pub fn new() -> Self {
        Self {
            runs: AtomicU32::new(0),
            short_in_a_row: AtomicU32::new(0),
            needed: AtomicU32::new(HABIT),
            long_runs: AtomicU32::new(0),
            blocks: AtomicBool::new(false),
        }
    }

    /// Whether the next run can be expected to be shorter than a thread hop.
    #[inline]
    pub fn is_habit(&self) -> bool {
        self.short_in_a_row.load(Ordering::Relaxed) >= self.needed.load(Ordering::Relaxed)
            && !self.blocks.load(Ordering::Relaxed)
    }

    /// Whether no run will ever be expected to be short again.
    pub fn is_ruled_out(&self) -> bool {
        self.blocks.load(Ordering::Relaxed)
    }

    /// A run took `seconds`. The first one of all is not counted: it warms up.
    pub fn observe(&self, seconds: f64) {
        if self.runs.fetch_add(1, Ordering::Relaxed) == 0 {
            return;
        }
        if seconds < SHORT_SECONDS {
            let row = self.short_in_a_row.load(Ordering::Relaxed);
            self.short_in_a_row
                .store(row.saturating_add(1), Ordering::Relaxed);
            return;
        }
        self.short_in_a_row.store(0, Ordering::Relaxed);
        if seconds < LONG_SECONDS {
            return;
        }
        let long_runs = self.long_runs.fetch_add(1, Ordering::Relaxed) + 1;
        if seconds >= BLOCKED_SECONDS || long_runs >= LONG_RUNS {
            self.blocks.store(true, Ordering::Relaxed);
        }
        let needed = self.needed.load(Ordering::Relaxed);
        self.needed
            .store(needed.saturating_mul(PENALTY), Ordering::Relaxed);
    }

    /// A run did not come back in time to be measured.
    pub fn observe_stuck(&self) {
        self.observe(LONG_SECONDS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: &[f64]) -> Brevity {
        let brevity = Brevity::new();
        for &run in seconds {
            brevity.observe(run);
        }
        brevity
    }

    const SHORT: f64 = 0.000_02;

    #[test]
    fn three_short_runs_after_the_first_make_a_habit() {
        assert!(!after(&[0.05, SHORT, SHORT]).is_habit());
        assert!(after(&[0.05, SHORT, SHORT, SHORT]).is_habit());
    }

    #[test]
    fn a_run_longer_than_a_hop_starts_the_count_again() {
        let brevity = after(&[SHORT, SHORT, SHORT, SHORT, 0.000_3]);
        assert!(!brevity.is_habit());
        for _ in 0..3 {
            brevity.observe(SHORT);
        }
        assert!(brevity.is_habit());
    }

    #[test]
    fn a_run_that_blocked_rules_it_out_for_ever() {
        let brevity = after(&[SHORT, SHORT, SHORT, SHORT, 0.1]);
        for _ in 0..1_000_000 {
            brevity.observe(SHORT);
        }
        assert!(brevity.is_ruled_out());
        assert!(!brevity.is_habit());
    }

    #[test]
    fn a_long_run_makes_the_habit_harder_to_believe() {
        let brevity = after(&[SHORT, SHORT, SHORT, SHORT]);
        brevity.observe_stuck();
        for _ in 0..29 {
            brevity.observe(SHORT);
        }
        assert!(!brevity.is_habit());
        brevity.observe(SHORT);
        assert!(brevity.is_habit());
    }

    #[test]
    fn three_long_runs_rule_it_out() {
        assert!(after(&[SHORT, 0.002, SHORT, 0.002, SHORT, 0.002]).is_ruled_out());
        assert!(!after(&[SHORT, 0.002, SHORT, 0.002, SHORT]).is_ruled_out());
    }
}
