//! A cache of another size in miniature: the policy itself, on the sampled keys alone.

use super::super::store::{Gone, Limits, Place, Store, Terms};
use super::super::{Cause, Nanos};
use super::sampling::Sampling;

/// Misses are counted in so many groups of keys, which between them show how much the
/// choice of keys matters.
pub(super) const GROUPS: usize = 16;

pub(super) struct Miniature {
    /// The size of the cache that it stands for.
    pub(super) size: u64,
    store: Store<u64, ()>,
    pub(super) misses: [f64; GROUPS],
    gone: Vec<Gone<u64, ()>>,
}

/// The size in miniature.
fn scaled(size: u64, sampling: Sampling) -> u64 {
    let half = sampling.scale() / 2;
    (size.saturating_add(half) >> sampling.shift()).max(1)
}

impl Miniature {
    pub(super) fn new(size: u64, limits: Limits, sampling: Sampling) -> Self {
        let limits = Limits {
            max_weight: Some(scaled(size, sampling)),
            ..limits
        };
        Self {
            size,
            store: Store::miniature(limits, sampling.shift()),
            misses: [0.0; GROUPS],
            gone: Vec::new(),
        }
    }

    pub(super) fn entries(&self) -> usize {
        self.store.entries()
    }

    fn place(&self, hash: u64) -> Option<Place> {
        // A key is its hash here: the first that has it is the one.
        let entries = &self.store;
        let same = |&slot: &u32| entries.entry(slot).is_some_and(|entry| entry.hash == hash);
        entries.index.find(hash, same).copied().map(Place)
    }

    /// A key was asked for. Where the cache itself had it, `life` says how it would be written
    /// anew, and it is where it is missing here: whoever asked would have done so.
    pub(super) fn asked(&mut self, hash: u64, now: Nanos, life: Option<Terms<'_>>, requests: f64) {
        let place = self.place(hash);
        if self.store.get(hash, place, now, &mut self.gone).is_none() {
            self.misses[Sampling::group::<GROUPS>(hash)] += requests;
            if let Some(terms) = life {
                let pair = (hash, ());
                self.store.put(hash, None, pair, now, terms, &mut self.gone);
            }
        }
        self.gone.clear();
    }

    /// A key was written. What is new in the cache itself and is here already was not missed
    /// here, and so would not have been written.
    pub(super) fn written(&mut self, hash: u64, now: Nanos, is_new: bool, terms: Terms<'_>) {
        let place = self.store.valid(self.place(hash), now, &mut self.gone);
        if place.is_none() || !is_new {
            let pair = (hash, ());
            self.store
                .put(hash, place, pair, now, terms, &mut self.gone);
        }
        self.gone.clear();
    }

    pub(super) fn remove(&mut self, hash: u64) {
        if let Some(place) = self.place(hash) {
            self.store.remove(place, Cause::Explicit, &mut self.gone);
        }
        self.gone.clear();
    }

    pub(super) fn remove_tagged(&mut self, tag: &str) {
        self.store.remove_tagged(tag, &mut self.gone);
        self.gone.clear();
    }

    pub(super) fn clear(&mut self) {
        self.store.clear(&mut self.gone);
        self.gone.clear();
    }

    /// From now on fewer keys are sampled.
    pub(super) fn thin(&mut self, sampling: Sampling) {
        let is_out = |hash: &u64| !sampling.has(*hash);
        self.store.remove_where(is_out, &mut self.gone);
        self.store.limits.max_weight = Some(scaled(self.size, sampling));
        self.store.shrink(&mut self.gone);
        self.gone.clear();
    }

    pub(super) fn all_misses(&self) -> f64 {
        self.misses.iter().sum()
    }

    pub(super) fn halve(&mut self) {
        for each in &mut self.misses {
            *each /= 2.0;
        }
    }
}
