//! Durations as a histogram of bounded relative error, recorded without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Each power of two is divided into so many buckets: what is read is at most
/// 1/32, three per cent, above what was recorded.
pub(super) const PER_DOUBLING: usize = 1 << BITS;
const BITS: u32 = 5;
/// Up to about 4.8 hours; longer ones count as that.
pub(super) const LONGEST: u64 = (1 << 44) - 1;
pub(super) const BUCKETS: usize = (44 - BITS as usize + 1) * PER_DOUBLING;

/// How often which duration was seen.
///
/// Writers never wait for one another. A reader beside them may see a duration
/// in the total that it does not see in its bucket yet; a [`Snapshot`] counts
/// the buckets alone, and so is consistent in itself.
pub struct Histogram {
    buckets: Box<[AtomicU64]>,
    nanos: AtomicU64,
    longest: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            nanos: AtomicU64::new(0),
            longest: AtomicU64::new(0),
        }
    }
}

pub(super) fn bucket(nanos: u64) -> usize {
    let doublings = u64::BITS - (nanos >> BITS).leading_zeros();
    if doublings == 0 {
        return nanos as usize;
    }
    let shift = doublings - 1;
    shift as usize * PER_DOUBLING + (nanos >> shift) as usize
}

/// The longest duration that a bucket stands for, in nanoseconds.
fn upper_bound(bucket: usize) -> u64 {
    if bucket < 2 * PER_DOUBLING {
        return bucket as u64;
    }
    let shift = bucket / PER_DOUBLING - 1;
    let step = (bucket - shift * PER_DOUBLING) as u64;
    ((step + 1) << shift) - 1
}

impl Histogram {
    pub fn record(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).map_or(LONGEST, |nanos| nanos.min(LONGEST));
        self.buckets[bucket(nanos)].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
        if nanos > self.longest.load(Ordering::Relaxed) {
            self.longest.fetch_max(nanos, Ordering::Relaxed);
        }
    }

    /// Forgets everything. What is recorded beside it may be forgotten in part.
    pub fn reset(&self) {
        for count in &self.buckets {
            count.store(0, Ordering::Relaxed);
        }
        self.nanos.store(0, Ordering::Relaxed);
        self.longest.store(0, Ordering::Relaxed);
    }

    pub fn snapshot(&self) -> Snapshot {
        let counts: Vec<u64> = self
            .buckets
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .collect();
        Snapshot {
            count: counts.iter().sum(),
            counts,
            total: Duration::from_nanos(self.nanos.load(Ordering::Relaxed)),
            longest: Duration::from_nanos(self.longest.load(Ordering::Relaxed)),
        }
    }
}

/// A histogram as it was at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub(super) counts: Vec<u64>,
    pub count: u64,
    /// All durations together.
    pub total: Duration,
    pub longest: Duration,
}

impl Snapshot {
    /// The duration that a share of all did not exceed, `share` from 0 to 1; zero
    /// where nothing was recorded. At most three per cent too long, never too short
    /// and never longer than the longest.
    pub fn quantile(&self, share: f64) -> Duration {
        let share = share.clamp(0.0, 1.0);
        // As an integer, at least the first: exact up to 2^53 of them.
        #[allow(clippy::cast_sign_loss)]
        let rank = ((share * self.count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(upper_bound(bucket)).min(self.longest);
            }
        }
        self.longest
    }

    /// How many did not exceed a duration; those of its own bucket count, though they
    /// may be up to three per cent longer.
    pub fn at_most(&self, duration: Duration) -> u64 {
        let nanos = u64::try_from(duration.as_nanos()).map_or(LONGEST, |nanos| nanos.min(LONGEST));
        self.counts.iter().take(bucket(nanos) + 1).sum()
    }

    pub fn mean(&self) -> Duration {
        if self.count == 0 {
            return Duration::ZERO;
        }
        let nanos = self.total.as_nanos() / u128::from(self.count);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_recorded_is_zero_throughout() {
        let seen = Histogram::default().snapshot();
        assert_eq!((seen.count, seen.mean()), (0, Duration::ZERO));
        assert_eq!(seen.quantile(0.99), Duration::ZERO);
    }

    #[test]
    fn what_is_longer_than_the_longest_counts_as_that() {
        let histogram = Histogram::default();
        histogram.record(Duration::MAX);
        assert_eq!(
            histogram.snapshot().quantile(1.0),
            Duration::from_nanos(LONGEST)
        );
    }

    #[test]
    fn every_bucket_is_reached_by_its_bound_and_no_other() {
        for index in 0..BUCKETS {
            assert_eq!(bucket(upper_bound(index)), index);
            if index > 0 {
                assert_eq!(bucket(upper_bound(index - 1) + 1), index);
            }
        }
        assert_eq!(upper_bound(BUCKETS - 1), LONGEST);
    }

    #[test]
    fn threads_lose_nothing() {
        let histogram = Histogram::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for micros in 0..1000 {
                        histogram.record(Duration::from_micros(micros));
                    }
                });
            }
        });
        let seen = histogram.snapshot();
        assert_eq!(seen.count, 4000);
        assert_eq!(seen.total, Duration::from_millis(1998));
        assert_eq!(seen.longest, Duration::from_micros(999));
    }

    proptest! {
        #[test]
        fn quantiles_are_never_too_short_and_hardly_too_long(
            mut nanos in prop::collection::vec(0..LONGEST, 1..200),
            share in 0.0..=1.0_f64,
        ) {
            let histogram = Histogram::default();
            for &each in &nanos {
                histogram.record(Duration::from_nanos(each));
            }
            nanos.sort_unstable();
            #[allow(clippy::cast_sign_loss)]
            let rank = ((share * nanos.len() as f64).ceil() as usize).max(1);
            let exact = nanos[rank - 1];
            let seen = histogram.snapshot().quantile(share);
            let seen = u64::try_from(seen.as_nanos()).unwrap();
            prop_assert!(exact <= seen && seen - exact <= exact / 32, "{exact} {seen}");
        }
    }
}
