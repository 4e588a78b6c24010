//! How many requests miss at which size, as far as reuse distances say: what LRU would do.

/// Each doubling of the distance has so many buckets; within one, sizes are interpolated.
const BITS: u32 = 4;
const PER_DOUBLING: usize = 1 << BITS;
const MOST_BITS: u32 = 52;
const FARTHEST: u64 = (1 << MOST_BITS) - 1;
const BUCKETS: usize = (MOST_BITS - BITS + 1) as usize * PER_DOUBLING;

/// Requests by the size that a cache must have for them to be hits.
pub(super) struct Curve {
    buckets: Box<[f64]>,
    /// Those of which nothing was known: no size would have done.
    cold: f64,
}

fn bucket(size: u64) -> usize {
    let doublings = u64::BITS - (size >> BITS).leading_zeros();
    if doublings == 0 {
        return size as usize;
    }
    let shift = doublings - 1;
    shift as usize * PER_DOUBLING + (size >> shift) as usize
}

/// Where a bucket begins.
fn lower_bound(bucket: usize) -> u64 {
    if bucket < 2 * PER_DOUBLING {
        return bucket as u64;
    }
    let shift = bucket / PER_DOUBLING - 1;
    ((bucket - shift * PER_DOUBLING) as u64) << shift
}

impl Curve {
    pub(super) fn new() -> Self {
        Self {
            buckets: vec![0.0; BUCKETS].into(),
            cold: 0.0,
        }
    }

    /// A request that stands for so many, and would be a hit from this size on.
    pub(super) fn add(&mut self, needed: Option<u64>, requests: f64) {
        match needed {
            Some(size) => self.buckets[bucket(size.min(FARTHEST))] += requests,
            None => self.cold += requests,
        }
    }

    pub(super) fn halve(&mut self) {
        self.cold /= 2.0;
        for each in &mut self.buckets {
            *each /= 2.0;
        }
    }

    /// How many of the requests would have been misses at this size.
    pub(super) fn misses(&self, size: u64) -> f64 {
        let size = size.min(FARTHEST);
        let own = bucket(size);
        let farther: f64 = self.buckets[own + 1..].iter().sum();
        let (begin, end) = (lower_bound(own), lower_bound(own + 1));
        let beyond = end.saturating_sub(size + 1) as f64 / (end - begin) as f64;
        self.cold + farther + self.buckets[own] * beyond
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_ends_where_the_next_begins() {
        for own in 0..BUCKETS - 1 {
            assert_eq!(bucket(lower_bound(own)), own);
            assert_eq!(bucket(lower_bound(own + 1) - 1), own);
        }
        assert_eq!(bucket(FARTHEST), BUCKETS - 1);
    }

    #[test]
    fn a_request_is_a_hit_from_the_size_on_that_it_needs() {
        let mut curve = Curve::new();
        for size in 1..=10_u64 {
            curve.add(Some(size), 2.0);
        }
        curve.add(None, 1.0);
        for size in 0..=12_u64 {
            let expected = 1.0 + 2.0 * 10_u64.saturating_sub(size) as f64;
            assert!((curve.misses(size) - expected).abs() < 1e-9, "{size}");
        }
        curve.halve();
        assert!((curve.misses(0) - 10.5).abs() < 1e-9);
        assert!((curve.misses(u64::MAX) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn far_sizes_are_off_by_less_than_a_bucket() {
        let mut curve = Curve::new();
        for size in 1..=100_000_u64 {
            curve.add(Some(size), 1.0);
        }
        for size in [37_u64, 1_000, 12_345, 50_000, 99_999] {
            let (found, exact) = (curve.misses(size), (100_000 - size) as f64);
            assert!(
                (found - exact).abs() <= size as f64 / PER_DOUBLING as f64,
                "{size}: {found}"
            );
        }
    }
}
