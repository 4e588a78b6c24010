mod locked;
mod random;
mod store;
pub(super) mod traces;

use super::{Limits, NEVER, Nanos, Place, Policy, Store};

/// A cache of numbers whose hashes are themselves.
pub(super) struct Numbers {
    pub(super) store: Store<u64, u64>,
    pub(super) now: Nanos,
}

pub(super) fn bounded(policy: Policy, most: u64) -> Numbers {
    with_limits(Limits {
        max_weight: Some(most),
        policy,
        idle: None,
    })
}

pub(super) fn with_limits(limits: Limits) -> Numbers {
    Numbers {
        store: Store::new(limits),
        now: 0,
    }
}

impl Numbers {
    pub(super) fn place(&self, key: u64) -> Option<Place> {
        let found = self
            .store
            .find(mixed(key), &[], |each| Some(*each == key), |each| *each);
        match found {
            super::Found::There(place) => Some(place),
            _ => None,
        }
    }

    pub(super) fn get(&mut self, key: u64) -> Option<u64> {
        let place = self.place(key);
        let now = self.now;
        self.store
            .get(mixed(key), place, now, &mut Vec::new())
            .copied()
    }

    /// Writes, and returns what went for which reason.
    pub(super) fn put(&mut self, key: u64, value: u64) -> Vec<super::Gone<u64, u64>> {
        self.put_with(key, value, 1, NEVER, &[])
    }

    pub(super) fn put_with(
        &mut self,
        key: u64,
        value: u64,
        weight: u64,
        expires: Nanos,
        tags: &[String],
    ) -> Vec<super::Gone<u64, u64>> {
        let mut gone = Vec::new();
        let terms = super::Terms {
            weight,
            expires,
            tags,
        };
        let place = self.place(key);
        let now = self.now;
        self.store
            .put(mixed(key), place, (key, value), now, terms, &mut gone);
        gone
    }

    pub(super) fn keys(&self) -> Vec<u64> {
        let mut keys: Vec<u64> = self.store.iter(self.now).map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys
    }
}

/// Hashes of which many are alike.
fn mixed(key: u64) -> u64 {
    key / 2
}
