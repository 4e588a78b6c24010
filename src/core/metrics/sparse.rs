//! A histogram of which there may be tens of thousands: what was never seen takes no memory.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::histogram::{BUCKETS, LONGEST, PER_DOUBLING, Snapshot, bucket};

const BLOCKS: usize = BUCKETS / PER_DOUBLING;

type Block = Box<[AtomicU64]>;

/// As [`Histogram`](super::Histogram), with buckets that are made when they are first
/// needed, a power of two at a time. A duration may stand for several that were not
/// measured.
pub struct SparseHistogram {
    blocks: [OnceLock<Block>; BLOCKS],
    nanos: AtomicU64,
    longest: AtomicU64,
    /// Of those that are counted, how many others stand for.
    unmeasured: AtomicU64,
}

impl Default for SparseHistogram {
    fn default() -> Self {
        Self {
            blocks: [const { OnceLock::new() }; BLOCKS],
            nanos: AtomicU64::new(0),
            longest: AtomicU64::new(0),
            unmeasured: AtomicU64::new(0),
        }
    }
}

impl SparseHistogram {
    /// A duration that was measured, and that stands for `weight` of them.
    #[inline]
    pub fn record(&self, duration: Duration, weight: u64) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(LONGEST);
        self.record_nanos(nanos, weight);
    }

    /// The same in nanoseconds.
    #[inline]
    pub fn record_nanos(&self, nanos: u64, weight: u64) {
        let nanos = nanos.min(LONGEST);
        let place = bucket(nanos);
        self.add(place, weight);
        self.nanos
            .fetch_add(nanos.saturating_mul(weight), Ordering::Relaxed);
        if weight > 1 {
            self.unmeasured.fetch_add(weight - 1, Ordering::Relaxed);
        }
        if nanos > self.longest.load(Ordering::Relaxed) {
            self.longest.fetch_max(nanos, Ordering::Relaxed);
        }
    }

    #[inline]
    fn add(&self, place: usize, weight: u64) {
        let block = self.blocks[place / PER_DOUBLING]
            .get_or_init(|| (0..PER_DOUBLING).map(|_| AtomicU64::new(0)).collect());
        block[place % PER_DOUBLING].fetch_add(weight, Ordering::Relaxed);
    }

    /// How many durations are counted, measured or not.
    pub fn count(&self) -> u64 {
        let blocks = self.blocks.iter().filter_map(OnceLock::get);
        let counts = blocks.flat_map(|block| block.iter());
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// How many were measured.
    pub fn measured(&self) -> u64 {
        self.count()
            .saturating_sub(self.unmeasured.load(Ordering::Relaxed))
    }

    /// All durations together, those that others stand for among them.
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }

    /// Adds what another one has seen.
    pub fn fold(&self, other: &Self) {
        let seen = other.snapshot();
        for (place, &count) in seen.counts.iter().enumerate() {
            if count > 0 {
                self.add(place, count);
            }
        }
        let nanos = u64::try_from(seen.total.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
        let unmeasured = other.unmeasured.load(Ordering::Relaxed);
        self.unmeasured.fetch_add(unmeasured, Ordering::Relaxed);
        let longest = u64::try_from(seen.longest.as_nanos()).unwrap_or(LONGEST);
        self.longest.fetch_max(longest, Ordering::Relaxed);
    }

    pub fn snapshot(&self) -> Snapshot {
        let mut counts = vec![0; BUCKETS];
        for (block, counts) in self.blocks.iter().zip(counts.chunks_mut(PER_DOUBLING)) {
            if let Some(block) = block.get() {
                for (count, place) in block.iter().zip(counts) {
                    *place = count.load(Ordering::Relaxed);
                }
            }
        }
        Snapshot {
            count: counts.iter().sum(),
            counts,
            total: self.total(),
            longest: Duration::from_nanos(self.longest.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Histogram;
    use super::*;

    const DURATIONS: [u64; 8] = [0, 1, 31, 32, 1_000, 123_456, 99_999_999, u64::MAX];

    #[test]
    fn it_sees_what_the_dense_one_sees() {
        let (dense, sparse) = (Histogram::default(), SparseHistogram::default());
        for nanos in DURATIONS {
            dense.record(Duration::from_nanos(nanos));
            sparse.record(Duration::from_nanos(nanos), 1);
        }
        assert_eq!(dense.snapshot(), sparse.snapshot());
        assert_eq!(sparse.measured(), DURATIONS.len() as u64);
    }

    #[test]
    fn a_duration_may_stand_for_several() {
        let sparse = SparseHistogram::default();
        sparse.record(Duration::from_micros(3), 64);
        sparse.record(Duration::from_micros(5), 1);
        let seen = sparse.snapshot();
        assert_eq!((seen.count, sparse.measured()), (65, 2));
        assert_eq!(seen.total, Duration::from_micros(64 * 3 + 5));
        assert_eq!(sparse.total(), seen.total);
        assert!(seen.quantile(0.5) < Duration::from_micros(4));
        assert_eq!(seen.longest, Duration::from_micros(5));
    }

    #[test]
    fn folding_adds_what_another_has_seen() {
        let (one, other) = (SparseHistogram::default(), SparseHistogram::default());
        let both = SparseHistogram::default();
        for (index, nanos) in DURATIONS.into_iter().enumerate() {
            let part = if index % 2 == 0 { &one } else { &other };
            part.record(Duration::from_nanos(nanos), 2);
            both.record(Duration::from_nanos(nanos), 2);
        }
        one.fold(&other);
        assert_eq!(one.snapshot(), both.snapshot());
        assert_eq!(one.measured(), both.measured());
    }

    #[test]
    fn how_many_did_not_exceed_a_bound() {
        let sparse = SparseHistogram::default();
        for millis in 1..=100 {
            sparse.record(Duration::from_millis(millis), 1);
        }
        let seen = sparse.snapshot();
        assert_eq!(seen.at_most(Duration::ZERO), 0);
        let half = seen.at_most(Duration::from_millis(50));
        assert!((50..=52).contains(&half), "{half}");
        assert_eq!(seen.at_most(Duration::MAX), 100);
    }

    #[test]
    fn one_that_has_seen_nothing_is_small() {
        assert!(size_of::<SparseHistogram>() <= 1024);
    }
}
