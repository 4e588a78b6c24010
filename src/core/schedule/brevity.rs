//! Whether runs of a graph are so short that a thread of their own is not worth
//! its while: what an event loop may run itself.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::core::threads::Spent;

/// Handing a run to a thread and back costs about as much.
const SHORT_SECONDS: f64 = 0.000_15;

/// A run that takes this long must not be in anybody's way again.
const LONG_SECONDS: f64 = 0.001;

/// A run that waits this long has blocked, whatever else the machine was doing.
const BLOCKED_SECONDS: f64 = 0.02;

/// The same for the first run, which may wait for files to be read.
const BLOCKED_AT_FIRST_SECONDS: f64 = 0.1;

/// Short runs in a row that make a habit.
const HABIT: u32 = 3;

/// How many times more it takes after each long run, and how many at the most: a
/// processor that was taken away looks like work, and must not count for ever.
const PENALTY: u32 = 2;
const MOST_NEEDED: u32 = 96;

/// Long runs of a graph that waits for something after which it is taken to block.
const LONG_RUNS: u32 = 3;

/// Short runs in a row after which they are forgotten: whoever waits for the
/// interpreter's lock seems to wait for something of its own.
const FORGIVEN_AFTER: u32 = 20;

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

    /// A run has ended. The first one of all warms up; it counts only if it waited
    /// for longer than that takes.
    pub fn observe(&self, spent: Spent) {
        let seconds = spent.elapsed.as_secs_f64();
        if self.runs.fetch_add(1, Ordering::Relaxed) == 0 {
            if spent.waited && seconds >= BLOCKED_AT_FIRST_SECONDS {
                self.blocks.store(true, Ordering::Relaxed);
            }
            return;
        }
        if seconds < SHORT_SECONDS {
            let row = self.short_in_a_row.load(Ordering::Relaxed);
            self.short_in_a_row
                .store(row.saturating_add(1), Ordering::Relaxed);
            if row == FORGIVEN_AFTER {
                self.long_runs.store(0, Ordering::Relaxed);
            }
            return;
        }
        if !(spent.waited || spent.worked) {
            // It was kept from running, which says nothing of it.
            return;
        }
        self.short_in_a_row.store(0, Ordering::Relaxed);
        if seconds < LONG_SECONDS {
            return;
        }
        if spent.waited {
            let long_runs = self.long_runs.fetch_add(1, Ordering::Relaxed) + 1;
            if seconds >= BLOCKED_SECONDS || long_runs >= LONG_RUNS {
                self.blocks.store(true, Ordering::Relaxed);
            }
        }
        let needed = self.needed.load(Ordering::Relaxed);
        self.needed
            .store((needed * PENALTY).min(MOST_NEEDED), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn after(seconds: &[f64]) -> Brevity {
        let brevity = Brevity::new();
        for &run in seconds {
            brevity.observe(waited(run));
        }
        brevity
    }

    fn waited(seconds: f64) -> Spent {
        Spent {
            elapsed: Duration::from_secs_f64(seconds),
            waited: true,
            worked: false,
        }
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
            brevity.observe(waited(SHORT));
        }
        assert!(brevity.is_habit());
    }

    #[test]
    fn a_run_that_blocked_rules_it_out_for_ever() {
        let brevity = after(&[SHORT, SHORT, SHORT, SHORT, 0.1]);
        for _ in 0..1_000_000 {
            brevity.observe(waited(SHORT));
        }
        assert!(brevity.is_ruled_out());
        assert!(!brevity.is_habit());
    }

    #[test]
    fn a_long_run_makes_the_habit_harder_to_believe() {
        let brevity = after(&[SHORT, SHORT, SHORT, SHORT]);
        brevity.observe(waited(0.001));
        for _ in 0..5 {
            brevity.observe(waited(SHORT));
        }
        assert!(!brevity.is_habit());
        brevity.observe(waited(SHORT));
        assert!(brevity.is_habit());
    }

    #[test]
    fn three_long_runs_rule_it_out() {
        assert!(after(&[SHORT, 0.002, SHORT, 0.002, SHORT, 0.002]).is_ruled_out());
        assert!(!after(&[SHORT, 0.002, SHORT, 0.002, SHORT]).is_ruled_out());
    }

    #[test]
    fn a_run_that_was_kept_from_running_does_not_count() {
        let brevity = after(&[SHORT, SHORT, SHORT, SHORT]);
        brevity.observe(Spent {
            elapsed: Duration::from_millis(50),
            waited: false,
            worked: false,
        });
        assert!(brevity.is_habit());
    }

    #[test]
    fn runs_that_compute_for_long_need_ever_more_short_ones_between_them() {
        let brevity = after(&[SHORT, SHORT, SHORT, SHORT]);
        for _ in 0..10 {
            brevity.observe(Spent {
                elapsed: Duration::from_millis(50),
                waited: false,
                worked: true,
            });
        }
        for _ in 1..MOST_NEEDED {
            brevity.observe(waited(SHORT));
        }
        assert!(!brevity.is_habit());
        brevity.observe(waited(SHORT));
        assert!(brevity.is_habit());
    }
}
