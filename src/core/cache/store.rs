//! The entries of a cache, without a lock of their own.

use hashbrown::HashTable;

use super::counts::{Counts, Gauges};
use super::expiry::Expiry;
use super::lists::{Lists, Segment};
use super::reuse::WhatIf;
use super::sketch::Sketch;
use super::tags::{TagIndex, Tags};
use super::{NEVER, Nanos};

/// Why an entry left the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There was no room for it.
    Size,
    Expired,
    /// It was removed on request.
    Explicit,
    /// Its value was replaced by another.
    Replaced,
}

/// What left the cache; the caller drops it, unlocked.
#[derive(Debug, PartialEq, Eq)]
pub struct Gone<K, V> {
    pub key: K,
    pub value: V,
    pub cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// By how often and how recently entries were used (W-TinyLFU).
    TinyLfu,
    /// By how recently entries were used.
    Lru,
}

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The entries together weigh this at most; `None` for no limit.
    pub max_weight: Option<u64>,
    pub policy: Policy,
    /// Entries expire when they were not used for so long.
    pub idle: Option<Nanos>,
}

/// What is said of one entry.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    pub weight: u64,
    /// When it expires, or [`NEVER`].
    pub expires: Nanos,
    pub tags: &'a [String],
}

impl Default for Terms<'_> {
    fn default() -> Self {
        Self {
            weight: 1,
            expires: NEVER,
            tags: &[],
        }
    }
}

/// Where an entry is, for as long as the store stays locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(pub(super) u32);

/// What is known of a key.
pub enum Found<K> {
    There(Place),
    Absent,
    /// One of these may be equal: a key's number, and the key.
    Unsure(Vec<(u64, K)>),
}

pub(super) struct Entry<K, V> {
    pub(super) key: K,
    pub(super) value: V,
    pub(super) hash: u64,
    /// Tells a key from every other that was ever here.
    serial: u64,
    pub(super) weight: u64,
    pub(super) expires: Nanos,
    pub(super) written: Nanos,
    used: Nanos,
    /// Under which moment it is queued to expire.
    queued: Nanos,
    pub(super) tags: Tags,
}

pub struct Store<K, V> {
    pub(super) limits: Limits,
    pub(super) slots: Vec<Option<Entry<K, V>>>,
    free: Vec<u32>,
    pub(super) index: HashTable<u32>,
    pub(super) lists: Lists,
    /// Of each segment.
    pub(super) weights: [u64; 3],
    pub(super) sketch: Sketch,
    expiry: Expiry,
    tags: TagIndex,
    pub(super) counts: Counts,
    last_serial: u64,
    pub(super) what_if: Option<Box<WhatIf>>,
}

/// Expired entries are looked for with every change, so many at a time.
const EXPIRED_AT_ONCE: usize = 32;

impl<K, V> Store<K, V> {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            slots: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            lists: Lists::new(),
            weights: [0; 3],
            sketch: Sketch::new(),
            expiry: Expiry::default(),
            tags: TagIndex::default(),
            counts: Counts::default(),
            last_serial: 0,
            what_if: None,
        }
    }

    /// One that stands for another, which is so many powers of two larger.
    pub(super) fn miniature(limits: Limits, shift: u32) -> Self {
        Self {
            sketch: Sketch::miniature(shift),
            ..Self::new(limits)
        }
    }

    pub(super) fn entry(&self, slot: u32) -> Option<&Entry<K, V>> {
        self.slots.get(slot as usize)?.as_ref()
    }

    fn entry_mut(&mut self, slot: u32) -> Option<&mut Entry<K, V>> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// Which entry has a key: `equal` says of keys of the same hash whether they are the
    /// one, if that can be told at once, and `known` what was found out before.
    #[inline]
    pub(super) fn find(
        &self,
        hash: u64,
        known: &[(u64, bool)],
        mut equal: impl FnMut(&K) -> Option<bool>,
        copy: impl FnMut(&K) -> K,
    ) -> Found<K> {
        let is_candidate = |slot: &u32| self.entry(*slot).is_some_and(|entry| entry.hash == hash);
        let Some(&slot) = self.index.find(hash, is_candidate) else {
            return Found::Absent;
        };
        // There is seldom another of the same hash.
        if self.entry(slot).and_then(|entry| equal(&entry.key)) == Some(true) {
            return Found::There(Place(slot));
        }
        self.find_among_alike(hash, known, equal, copy)
    }

    #[cold]
    fn find_among_alike(
        &self,
        hash: u64,
        known: &[(u64, bool)],
        mut equal: impl FnMut(&K) -> Option<bool>,
        mut copy: impl FnMut(&K) -> K,
    ) -> Found<K> {
        let mut unsure = Vec::new();
        for &slot in self.index.iter_hash(hash) {
            let Some(entry) = self.entry(slot).filter(|entry| entry.hash == hash) else {
                continue;
            };
            let told = equal(&entry.key).or_else(|| {
                let told = known.iter().find(|(serial, _)| *serial == entry.serial);
                told.map(|(_, is_equal)| *is_equal)
            });
            match told {
                Some(true) => return Found::There(Place(slot)),
                Some(false) => {}
                None => unsure.push((entry.serial, copy(&entry.key))),
            }
        }
        if unsure.is_empty() {
            Found::Absent
        } else {
            Found::Unsure(unsure)
        }
    }

    fn end(&self, entry: &Entry<K, V>) -> Nanos {
        match self.limits.idle {
            Some(idle) => entry.expires.min(entry.used.saturating_add(idle)),
            None => entry.expires,
        }
    }

    /// Whether an entry expires by then.
    #[inline]
    pub fn has_expired(&self, place: Place, now: Nanos) -> bool {
        self.entry(place.0)
            .is_some_and(|entry| self.end(entry) <= now)
    }

    /// The value, and counts a hit or a miss. What has expired is gone.
    #[inline]
    pub fn get(
        &mut self,
        hash: u64,
        place: Option<Place>,
        now: Nanos,
        gone: &mut impl Extend<Gone<K, V>>,
    ) -> Option<&V> {
        let Some(place) = self.valid(place, now, gone) else {
            self.counts.misses += 1;
            if self.limits.policy == Policy::TinyLfu && self.limits.max_weight.is_some() {
                self.sketch.see(hash);
            }
            if self.is_sampled(hash) {
                self.sample_request(hash, None, now);
            }
            return None;
        };
        self.counts.hits += 1;
        self.used(place.0, hash);
        if self.is_sampled(hash) {
            self.sample_request(hash, Some(place), now);
        }
        let entry = self.slots.get_mut(place.0 as usize)?.as_mut()?;
        entry.used = now;
        Some(&entry.value)
    }

    /// Key and value, as if nobody had looked.
    pub fn pair(&self, place: Place) -> Option<(&K, &V)> {
        self.entry(place.0).map(|entry| (&entry.key, &entry.value))
    }

    /// The value, as if nobody had looked.
    pub fn peek(&self, place: Place, now: Nanos) -> Option<&V> {
        let entry = self.entry(place.0)?;
        (self.end(entry) > now).then_some(&entry.value)
    }

    /// The place, unless its entry has expired, which is removed then.
    #[inline]
    pub fn valid(
        &mut self,
        place: Option<Place>,
        now: Nanos,
        gone: &mut impl Extend<Gone<K, V>>,
    ) -> Option<Place> {
        let place = place?;
        if self.has_expired(place, now) {
            self.remove(place, Cause::Expired, gone);
            return None;
        }
        Some(place)
    }

    /// Whether so much could be kept at all.
    pub fn has_room_for(&self, weight: u64) -> bool {
        self.limits.max_weight.is_none_or(|most| weight <= most)
    }

    /// Writes a value under a key, which is at `place` if it is there already. Returns
    /// whether it is there now.
    #[allow(clippy::too_many_arguments)]
    pub fn put(
        &mut self,
        hash: u64,
        place: Option<Place>,
        (key, value): (K, V),
        now: Nanos,
        terms: Terms<'_>,
        gone: &mut impl Extend<Gone<K, V>>,
    ) -> bool {
        let most = if self.has_room_for(self.weight().saturating_add(terms.weight)) {
            EXPIRED_AT_ONCE
        } else {
            // Nothing that lives goes while something is there that does not.
            usize::MAX
        };
        self.expire(now, most, gone);
        // The caller's place may have been among them.
        let place = place.filter(|place| self.entry(place.0).is_some());
        let is_new = place.is_none();
        if !self.has_room_for(terms.weight) {
            if let Some(place) = place {
                self.remove(place, Cause::Replaced, gone);
            }
            let cause = Cause::Size;
            self.counts.gone(cause);
            gone.extend(Some(Gone { key, value, cause }));
            if self.is_sampled(hash) {
                // A larger cache may have room for it.
                self.sample_write(hash, is_new, now, terms);
            }
            return false;
        }
        let slot = match place {
            Some(place) => {
                self.replace(place, (key, value), now, terms, gone);
                self.used(place.0, hash);
                place.0
            }
            None => self.insert(hash, (key, value), now, terms),
        };
        self.shrink(gone);
        if self.is_sampled(hash) {
            self.sample_write(hash, is_new, now, terms);
        }
        // Nothing was inserted meanwhile that could have its slot.
        self.entry(slot).is_some()
    }

    /// Returns its slot.
    fn insert(&mut self, hash: u64, (key, value): (K, V), now: Nanos, terms: Terms<'_>) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as u32 - 1
        });
        self.last_serial += 1;
        let mut entry = Entry {
            key,
            value,
            hash,
            serial: self.last_serial,
            weight: terms.weight,
            expires: terms.expires,
            written: now,
            used: now,
            queued: NEVER,
            tags: self.tags.add(slot, terms.tags),
        };
        entry.queued = self.end(&entry);
        self.expiry.add(entry.queued, slot);
        self.slots[slot as usize] = Some(entry);
        let slots = &self.slots;
        self.index.insert_unique(hash, slot, |&slot| {
            slots[slot as usize].as_ref().map_or(0, |entry| entry.hash)
        });
        self.lists.push(slot, Segment::Window);
        self.weights[Segment::Window as usize] += terms.weight;
        self.counts.insertions += 1;
        if self.limits.max_weight.is_some() && self.limits.policy == Policy::TinyLfu {
            let entries = self.index.len();
            self.sketch.reserve(entries);
        }
        slot
    }

    fn replace(
        &mut self,
        place: Place,
        (key, value): (K, V),
        now: Nanos,
        terms: Terms<'_>,
        gone: &mut impl Extend<Gone<K, V>>,
    ) {
        let slot = place.0;
        let segment = self.lists.segment(slot) as usize;
        let Some(entry) = self.entry_mut(slot) else {
            return;
        };
        let value = std::mem::replace(&mut entry.value, value);
        let earlier = std::mem::replace(&mut entry.weight, terms.weight);
        let old_tags = entry.tags.take();
        entry.expires = terms.expires;
        entry.written = now;
        entry.used = now;
        let queued = entry.queued;
        self.weights[segment] = self.weights[segment] - earlier + terms.weight;
        self.tags.remove(slot, &old_tags);
        let tags = self.tags.add(slot, terms.tags);
        let end = self.entry(slot).map_or(NEVER, |entry| self.end(entry));
        // One that now ends later stays queued, and is put back when its turn comes.
        let stays = queued <= end && end != NEVER;
        if !stays {
            self.expiry.remove(queued, slot);
            self.expiry.add(end, slot);
        }
        if let Some(entry) = self.entry_mut(slot) {
            entry.tags = tags;
            if !stays {
                entry.queued = end;
            }
        }
        let cause = Cause::Replaced;
        self.counts.gone(cause);
        gone.extend(Some(Gone { key, value, cause }));
    }

    /// Takes an entry out.
    pub fn remove(&mut self, place: Place, cause: Cause, gone: &mut impl Extend<Gone<K, V>>) {
        let slot = place.0;
        let Some(entry) = self.slots.get_mut(slot as usize).and_then(Option::take) else {
            return;
        };
        if let Ok(found) = self.index.find_entry(entry.hash, |&each| each == slot) {
            found.remove();
        }
        self.weights[self.lists.segment(slot) as usize] -= entry.weight;
        self.lists.unlink(slot);
        self.expiry.remove(entry.queued, slot);
        self.tags.remove(slot, &entry.tags);
        self.free.push(slot);
        self.counts.gone(cause);
        if cause != Cause::Size
            && let Some(what_if) = self.what_if.as_deref_mut()
        {
            what_if.removed(entry.hash, cause == Cause::Expired);
        }
        let Entry { key, value, .. } = entry;
        gone.extend(Some(Gone { key, value, cause }));
    }

    /// Removes what has expired, so many entries at the most.
    pub fn expire(&mut self, now: Nanos, most: usize, gone: &mut impl Extend<Gone<K, V>>) {
        for _ in 0..most {
            let Some(slot) = self.expiry.due(now) else {
                return;
            };
            let Some((queued, end)) = self
                .entry(slot)
                .map(|entry| (entry.queued, self.end(entry)))
            else {
                return;
            };
            if end <= now {
                self.remove(Place(slot), Cause::Expired, gone);
                continue;
            }
            self.expiry.remove(queued, slot);
            self.expiry.add(end, slot);
            if let Some(entry) = self.entry_mut(slot) {
                entry.queued = end;
            }
        }
    }

    /// Removes the entries whose keys are chosen; how many.
    pub fn remove_where(
        &mut self,
        mut is_chosen: impl FnMut(&K) -> bool,
        gone: &mut impl Extend<Gone<K, V>>,
    ) -> usize {
        let chosen: Vec<u32> = (0..self.slots.len() as u32)
            .filter(|&slot| self.entry(slot).is_some_and(|entry| is_chosen(&entry.key)))
            .collect();
        self.remove_all(&chosen, gone)
    }

    /// Removes the entries with a tag; how many.
    pub fn remove_tagged(&mut self, tag: &str, gone: &mut impl Extend<Gone<K, V>>) -> usize {
        let chosen = self.tags.slots(tag);
        if let Some(what_if) = self.what_if.as_deref_mut() {
            what_if.removed_tagged(tag);
        }
        self.remove_all(&chosen, gone)
    }

    fn remove_all(&mut self, slots: &[u32], gone: &mut impl Extend<Gone<K, V>>) -> usize {
        for &slot in slots {
            self.remove(Place(slot), Cause::Explicit, gone);
        }
        slots.len()
    }

    /// Takes everything out; the counts stay.
    pub fn clear(&mut self, gone: &mut impl Extend<Gone<K, V>>) {
        let everything: Vec<u32> = self.index.iter().copied().collect();
        self.remove_all(&everything, gone);
        self.sketch.clear();
        self.slots = Vec::new();
        self.free = Vec::new();
        self.lists = Lists::new();
        self.index = HashTable::new();
        if let Some(what_if) = self.what_if.as_deref_mut() {
            what_if.cleared();
        }
    }

    pub fn reset_counts(&mut self) {
        self.counts = Counts::default();
        let totals = self.totals();
        if let Some(what_if) = self.what_if.as_deref_mut() {
            what_if.restart(totals);
        }
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    pub fn entries(&self) -> usize {
        self.index.len()
    }

    pub fn weight(&self) -> u64 {
        self.weights.iter().sum()
    }

    /// Whether some entry will expire.
    pub fn can_expire(&self) -> bool {
        self.limits.idle.is_some() || !self.expiry.is_empty()
    }

    /// Keys and values, those that have expired left out.
    pub fn iter(&self, now: Nanos) -> impl Iterator<Item = (&K, &V)> {
        let entries = self.slots.iter().flatten();
        entries
            .filter(move |entry| self.end(entry) > now)
            .map(|entry| (&entry.key, &entry.value))
    }

    /// Keys and values, whether they have expired or not.
    pub fn everything(&self) -> impl Iterator<Item = (&K, &V)> {
        let entries = self.slots.iter().flatten();
        entries.map(|entry| (&entry.key, &entry.value))
    }

    /// The entry that will be evicted next, roughly.
    pub fn coldest(&self) -> Option<Place> {
        let slot = self.victim();
        self.entry(slot).map(|_| Place(slot))
    }

    pub fn gauges(&self, now: Nanos) -> Gauges {
        let ages = || {
            let entries = self.slots.iter().flatten();
            entries.map(|entry| now.saturating_sub(entry.written))
        };
        let together: u128 = ages().map(u128::from).sum();
        let entries = self.entries();
        Gauges {
            entries,
            weight: self.weight(),
            oldest: ages().max().unwrap_or(0),
            mean_age: (together / (entries.max(1) as u128)) as u64,
        }
    }
}
