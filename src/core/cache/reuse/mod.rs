//! What other sizes of a cache would have done, from a sample of its keys.
//!
//! Half and twice the size are simulated: the cache's own policy runs in miniature on the
//! sampled keys, with a size that is smaller by the sampling rate (Waldspurger and others,
//! "Cache Modeling and Optimization using Miniature Simulations", 2017). A third miniature,
//! of the size that the cache has, says what to make of their figures: how much more or
//! less they miss than it does is applied to what the cache itself missed, so that most of
//! what the choice of keys does to one it does to both.
//!
//! For any other size there is what LRU would have done, from the reuse distances of the
//! sampled keys (Waldspurger and others, "Efficient MRC Construction with SHARDS", 2015):
//! how much else was used between two uses of a key. The rate falls where more keys would
//! be kept than there is room for, and all counts are halved from time to time, so that
//! they follow what is asked for lately.

mod curve;
mod miniature;
mod sampling;
mod stack;
#[cfg(all(test, not(loom)))]
mod tests;

use super::store::{Limits, Policy, Terms};
use super::{NEVER, Nanos};
use curve::Curve;
use miniature::{GROUPS, Miniature};
use sampling::Sampling;
use stack::Stack;

/// The share of keys that is sampled where nobody says otherwise.
pub const USUAL_SHARE: f64 = 1.0 / 32.0;
/// Where a cache holds few entries, more of its keys are sampled, so that so many of them
/// are in the miniature of its size.
const FEWEST: u64 = 48;
/// Where it holds many, fewer are.
const MOST: usize = 4096;
/// The curve goes up to so many times the size.
const REACH: u64 = 4;
/// Counts are halved after so many requests for each entry, and so many sampled ones.
const REQUESTS_AN_ENTRY: u64 = 16;
const SAMPLES: u64 = 8192;

/// The size asked about, as parts of the cache's own.
const HALF: usize = 0;
const SAME: usize = 1;
const TWICE: usize = 2;

/// How an entry that is there would be written anew.
pub(super) struct Life<'a> {
    pub(super) weight: u64,
    pub(super) span: Nanos,
    pub(super) tags: &'a [String],
}

/// What the cache counted since it was made, and holds now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) requests: u64,
    pub(super) misses: u64,
    pub(super) entries: u64,
    pub(super) weight: u64,
}

/// What is said of one size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub size: u64,
    pub hit_ratio: f64,
    /// The true ratio is within so much of it about nineteen times in twenty; 0 where that
    /// is not known.
    pub margin: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The requests that the figures are about; those longer ago count less.
    pub requests: f64,
    /// How many of them were for sampled keys.
    pub samples: f64,
    /// The share of keys that is sampled.
    pub share: f64,
    pub hit_ratio: f64,
    pub half: Estimate,
    pub twice: Estimate,
    /// What LRU would have done at the sizes asked for.
    pub lru: Vec<Estimate>,
}

pub(super) struct WhatIf {
    limits: Limits,
    wished: f64,
    sampling: Sampling,
    miniatures: [Miniature; 3],
    stack: Stack,
    curve: Curve,
    /// Lately, and up to when.
    requests: f64,
    misses: f64,
    samples: f64,
    counted: Totals,
}

fn most(limits: Limits) -> u64 {
    limits.max_weight.unwrap_or(0)
}

/// The share that is sampled of a cache with room for so many entries.
fn fitting_share(wished: f64, room: f64) -> f64 {
    wished.max(FEWEST as f64 / room.max(1.0)).min(1.0)
}

impl WhatIf {
    /// For a cache with these limits; `share` of its keys are sampled, or more of them where
    /// they are few.
    pub(super) fn new(limits: Limits, share: f64) -> Self {
        let sampling = Sampling::of_share(fitting_share(share, most(limits) as f64));
        Self::with_sampling(limits, share, sampling, Totals::default())
    }

    fn with_sampling(limits: Limits, wished: f64, sampling: Sampling, counted: Totals) -> Self {
        let size = most(limits);
        let sizes = [size / 2, size, size.saturating_mul(2)];
        Self {
            limits,
            wished,
            sampling,
            miniatures: sizes.map(|size| Miniature::new(size, limits, sampling)),
            stack: Stack::new(),
            curve: Curve::new(),
            requests: 0.0,
            misses: 0.0,
            samples: 0.0,
            counted,
        }
    }

    #[inline]
    pub(super) fn samples(&self, hash: u64) -> bool {
        self.sampling.has(hash)
    }

    /// A sampled key was asked for; `life` is given where it was there. The totals include
    /// this request.
    #[cold]
    pub(super) fn asked(&mut self, hash: u64, now: Nanos, life: Option<&Life<'_>>, totals: Totals) {
        self.age(totals);
        let scale = self.sampling.scale();
        let requests = scale as f64;
        self.samples += 1.0;
        let terms = life.map(|life| Terms {
            weight: life.weight,
            expires: match life.span {
                NEVER => NEVER,
                span => now.saturating_add(span),
            },
            tags: life.tags,
        });
        for each in &mut self.miniatures {
            each.asked(hash, now, terms, requests);
        }
        // What is missing and never written takes no room.
        let weight = terms
            .map(|terms| terms.weight)
            .or_else(|| self.stack.weight_of(hash));
        let distance = weight.and_then(|weight| self.stack.touch(hash, weight));
        let needed = distance.map(|distance| {
            let between = distance.saturating_mul(scale);
            between.saturating_add(weight.unwrap_or(0))
        });
        self.curve.add(needed, requests);
        self.bound();
    }

    /// A sampled key was written, and was there before unless it is new.
    #[cold]
    pub(super) fn written(
        &mut self,
        hash: u64,
        now: Nanos,
        is_new: bool,
        terms: Terms<'_>,
        totals: Totals,
    ) {
        for each in &mut self.miniatures {
            each.written(hash, now, is_new, terms);
        }
        self.stack.touch(hash, terms.weight);
        self.bound();
        self.fit(totals);
    }

    /// A key was taken out, or has expired.
    pub(super) fn removed(&mut self, hash: u64, has_expired: bool) {
        if !self.sampling.has(hash) {
            return;
        }
        self.stack.remove(hash);
        // Their entries expire by themselves: in a smaller cache it may have been written since.
        if !has_expired {
            for each in &mut self.miniatures {
                each.remove(hash);
            }
        }
    }

    pub(super) fn removed_tagged(&mut self, tag: &str) {
        for each in &mut self.miniatures {
            each.remove_tagged(tag);
        }
    }

    /// Everything was taken out.
    pub(super) fn cleared(&mut self) {
        self.stack = Stack::new();
        for each in &mut self.miniatures {
            each.clear();
        }
    }

    /// Forgets what it saw.
    pub(super) fn restart(&mut self, totals: Totals) {
        *self = Self::with_sampling(self.limits, self.wished, self.sampling, totals);
    }

    fn age(&mut self, totals: Totals) {
        let length = (REQUESTS_AN_ENTRY * totals.entries).max(SAMPLES * self.sampling.scale());
        if totals.requests - self.counted.requests < length {
            return;
        }
        let (requests, misses) = self.lately(totals);
        self.requests = requests / 2.0;
        self.misses = misses / 2.0;
        self.samples /= 2.0;
        self.counted = totals;
        self.curve.halve();
        self.miniatures.iter_mut().for_each(Miniature::halve);
    }

    fn lately(&self, totals: Totals) -> (f64, f64) {
        let requests = self.requests + (totals.requests - self.counted.requests) as f64;
        (
            requests,
            self.misses + (totals.misses - self.counted.misses) as f64,
        )
    }

    /// Keeps no more than there is room for.
    fn bound(&mut self) {
        let reach = most(self.limits).saturating_mul(REACH) >> self.sampling.shift();
        while self.stack.weight() > reach && self.stack.len() > 1 {
            self.stack.drop_oldest();
        }
        let most = |sampled: usize| sampled > MOST;
        if most(self.miniatures[TWICE].entries()) || most(self.stack.len() / 2) {
            let Some(sampling) = self.sampling.halved() else {
                return self.stack.drop_oldest();
            };
            self.sampling = sampling;
            for each in &mut self.miniatures {
                each.thin(sampling);
            }
            self.stack.retain(|hash| sampling.has(hash));
        }
    }

    /// Begins anew with more keys where entries turn out so heavy that there is room for few.
    fn fit(&mut self, totals: Totals) {
        let is_full = totals.weight.saturating_mul(2) >= most(self.limits);
        if self.sampling.shift() == 0 || !is_full {
            return;
        }
        let room = most(self.limits) as f64 * totals.entries as f64 / totals.weight.max(1) as f64;
        if room * self.sampling.share() * 2.0 < FEWEST as f64 {
            let sampling = Sampling::of_share(fitting_share(self.wished, room));
            *self = Self::with_sampling(self.limits, self.wished, sampling, totals);
        }
    }

    /// What is known by now; `sizes` are those that the curve is asked about.
    pub(super) fn report(&self, totals: Totals, sizes: &[u64]) -> Report {
        let (requests, misses) = self.lately(totals);
        let of_requests = |misses: f64| 1.0 - (misses / requests.max(1.0)).clamp(0.0, 1.0);
        let nothing = requests == 0.0;
        let hit_ratio = if nothing { 0.0 } else { of_requests(misses) };
        // The requests for keys that are left out of the sample by chance, or are too many in it,
        // are taken for hits of popular keys (SHARDS-adj): misses are of all requests. Where the
        // cache does by LRU, its own miniature says more.
        let base = self.miniatures[SAME].all_misses();
        let is_lru = self.limits.policy == Policy::Lru;
        let bias = if is_lru && base > 0.0 {
            misses / base
        } else {
            1.0
        };
        let lru = |&size: &u64| Estimate {
            size,
            hit_ratio: if nothing || size == 0 {
                0.0
            } else {
                of_requests(self.curve.misses(size) * bias)
            },
            margin: 0.0,
        };
        Report {
            requests,
            samples: self.samples,
            share: self.sampling.share(),
            hit_ratio,
            half: self.simulated(HALF, requests, misses),
            twice: self.simulated(TWICE, requests, misses),
            lru: sizes.iter().map(lru).collect(),
        }
    }

    fn simulated(&self, which: usize, requests: f64, misses: f64) -> Estimate {
        let (other, same) = (&self.miniatures[which], &self.miniatures[SAME]);
        let base = same.all_misses();
        if base == 0.0 || requests == 0.0 {
            // Nobody missed: all that is known is what the other missed.
            let hit_ratio = if requests == 0.0 {
                0.0
            } else {
                1.0 - (other.all_misses() / requests).min(1.0)
            };
            return Estimate {
                size: other.size,
                hit_ratio,
                margin: 0.0,
            };
        }
        let ratio = other.all_misses() / base;
        // By how much each group of keys departs from the ratio of all.
        let departures: f64 = (0..GROUPS)
            .map(|group| (other.misses[group] - ratio * same.misses[group]).powi(2))
            .sum();
        let variance = departures * GROUPS as f64 / (GROUPS - 1) as f64;
        let left_out = 1.0 - self.sampling.share();
        let error = (variance * left_out).sqrt() / base;
        let miss_ratio = misses / requests;
        Estimate {
            size: other.size,
            hit_ratio: 1.0 - (miss_ratio * ratio).clamp(0.0, 1.0),
            margin: 2.0 * miss_ratio * error,
        }
    }
}
