//! The store's uses, as far as they are sampled to tell what other sizes would do.

use super::reuse::{Life, Report, Totals, WhatIf};
use super::store::{Place, Store, Terms};
use super::{NEVER, Nanos};

impl<K, V> Store<K, V> {
    /// Has a sample of the keys tell what other sizes would do.
    #[must_use]
    pub fn asking_what_if(mut self, share: f64) -> Self {
        self.what_if = Some(Box::new(WhatIf::new(self.limits, share)));
        self
    }

    #[inline]
    pub(super) fn is_sampled(&self, hash: u64) -> bool {
        let what_if = self.what_if.as_deref();
        what_if.is_some_and(|what_if| what_if.samples(hash))
    }

    pub(super) fn totals(&self) -> Totals {
        Totals {
            requests: self.counts.hits + self.counts.misses,
            misses: self.counts.misses,
            entries: self.index.len() as u64,
            weight: self.weight(),
        }
    }

    #[cold]
    pub(super) fn sample_request(&mut self, hash: u64, place: Option<Place>, now: Nanos) {
        let totals = self.totals();
        let Some(what_if) = self.what_if.as_deref_mut() else {
            return;
        };
        let entry = place.and_then(|place| self.slots.get(place.0 as usize)?.as_ref());
        let Some(entry) = entry else {
            return what_if.asked(hash, now, None, totals);
        };
        let tags: Vec<String> = match &entry.tags {
            Some(tags) => tags.iter().map(ToString::to_string).collect(),
            None => Vec::new(),
        };
        let span = match entry.expires {
            NEVER => NEVER,
            end => end.saturating_sub(entry.written),
        };
        let life = Life {
            weight: entry.weight,
            span,
            tags: &tags,
        };
        what_if.asked(hash, now, Some(&life), totals);
    }

    #[cold]
    pub(super) fn sample_write(&mut self, hash: u64, is_new: bool, now: Nanos, terms: Terms<'_>) {
        let totals = self.totals();
        if let Some(what_if) = self.what_if.as_deref_mut() {
            what_if.written(hash, now, is_new, terms, totals);
        }
    }

    /// What other sizes would have done, if that is asked at all.
    pub fn what_if(&self, sizes: &[u64]) -> Option<Report> {
        let what_if = self.what_if.as_deref()?;
        Some(what_if.report(self.totals(), sizes))
    }

    /// A key that is not here, and is to be nowhere, was taken out.
    pub fn removed_nothing(&mut self, hash: u64) {
        if let Some(what_if) = self.what_if.as_deref_mut() {
            what_if.removed(hash, false);
        }
    }
}
