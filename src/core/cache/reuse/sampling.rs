//! Which keys are looked at: a fixed share of all, chosen by their hashes.

/// The rate never falls below this.
const RAREST: u32 = 20;

/// A key is sampled at all its uses or at none, so that what is seen of a sampled key is
/// what there was to see. The rate is a power of two; what is left in after it falls was
/// in before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sampling {
    shift: u32,
    threshold: u64,
}

/// Independent of what tables and sketches make of the same hash.
#[inline]
fn mixed(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 29)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 32)
}

impl Sampling {
    /// One key in `2^shift`.
    pub(super) fn one_in_power(shift: u32) -> Self {
        let shift = shift.min(RAREST);
        Self {
            shift,
            threshold: u64::MAX >> shift,
        }
    }

    /// At least this share of all keys.
    pub(super) fn of_share(share: f64) -> Self {
        let shift = (0..=RAREST).rev().find(|shift| share_of(*shift) >= share);
        Self::one_in_power(shift.unwrap_or(0))
    }

    #[inline]
    pub(super) fn has(self, hash: u64) -> bool {
        mixed(hash) <= self.threshold
    }

    /// Sampled keys fall into so many groups at random.
    pub(super) fn group<const GROUPS: usize>(hash: u64) -> usize {
        mixed(hash) as usize % GROUPS
    }

    pub(super) fn shift(self) -> u32 {
        self.shift
    }

    pub(super) fn share(self) -> f64 {
        share_of(self.shift)
    }

    /// How many keys one stands for.
    pub(super) fn scale(self) -> u64 {
        1 << self.shift
    }

    /// Half as many keys, if that is not too few.
    pub(super) fn halved(self) -> Option<Self> {
        (self.shift < RAREST).then(|| Self::one_in_power(self.shift + 1))
    }
}

fn share_of(shift: u32) -> f64 {
    1.0 / (1_u64 << shift) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_the_power_of_two_at_or_above_what_is_asked() {
        for (asked, share) in [
            (1.0, 1.0),
            (0.6, 1.0),
            (0.5, 0.5),
            (0.1, 0.125),
            (0.0, share_of(RAREST)),
        ] {
            assert!(
                (Sampling::of_share(asked).share() - share).abs() < 1e-12,
                "{asked}"
            );
        }
    }

    #[test]
    fn so_many_keys_are_sampled_whatever_their_pattern() {
        let sampling = Sampling::of_share(1.0 / 16.0);
        let patterns: [fn(u64) -> u64; 4] = [|i| i, |i| i << 20, |i| i * 0x9e37_79b9, |i| i << 44];
        for pattern in patterns {
            let sampled = (0..160_000).filter(|&i| sampling.has(pattern(i))).count();
            assert!((9_000..11_000).contains(&sampled), "{sampled}");
        }
    }

    #[test]
    fn at_half_the_rate_there_are_none_but_those_that_were_there() {
        let sampling = Sampling::one_in_power(3);
        let half = sampling.halved().unwrap();
        assert_eq!(half.scale(), 16);
        assert!((0..10_000).all(|hash| !half.has(hash) || sampling.has(hash)));
        assert_eq!(Sampling::one_in_power(RAREST).halved(), None);
    }
}
