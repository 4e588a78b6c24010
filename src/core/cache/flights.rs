//! Who computes which missing value: whoever came first, until it ends or is overruled.

use crate::core::sync::{AtomicBool, Ordering};

use super::locked::{Cache, Question};
use super::store::{Cause, Gone, Limits, Place, Policy, Store, Terms};

/// What is no longer computed for those who ask from now on; for the caller to drop, unlocked.
pub type Left<K, F> = Vec<Gone<K, F>>;

/// Handles `F` on computations, by their keys.
pub struct Flights<K, F> {
    flights: Cache<K, F>,
    /// Whether there may be any. Set and cleared while they are locked, so that one that
    /// begins meanwhile is not overlooked.
    are_any: AtomicBool,
}

impl<K, F> Default for Flights<K, F> {
    fn default() -> Self {
        let limits = Limits {
            max_weight: None,
            policy: Policy::Lru,
            idle: None,
        };
        Self {
            flights: Cache::new(Store::new(limits)),
            are_any: AtomicBool::new(false),
        }
    }
}

impl<K, F> Flights<K, F> {
    /// Joins the computation of a key, of which `copy` gives a handle, or begins `fresh`: the
    /// first to come computes. Whether that is the caller.
    pub fn board<Q: Question<K>>(
        &self,
        hash: u64,
        question: &Q,
        tags: &[String],
        fresh: (K, F),
        copy: impl Fn(&F) -> F,
    ) -> Result<(F, bool), Q::Error> {
        let mine = copy(&fresh.1);
        // What is not needed is dropped after the lock.
        let mut fresh = Some(fresh);
        self.flights.at(hash, question, |store, hash, place| {
            if let Some(flight) = place.and_then(|place| store.peek(place, 0)) {
                return (copy(flight), false);
            }
            self.are_any.store(true, Ordering::Release);
            let terms = Terms {
                tags,
                ..Terms::default()
            };
            // There is no limit that would make anything leave.
            if let Some(fresh) = fresh.take() {
                store.put(hash, place, fresh, 0, terms, &mut Vec::new());
            }
            (copy(&mine), true)
        })
    }

    /// Whether there may be computations. Asked while the entries are locked that are to be
    /// changed: one that is not seen then has yet to look at them, and finds them changed.
    pub fn are_any(&self) -> bool {
        self.are_any.load(Ordering::Acquire)
    }

    /// Takes out computations whose keys are written or removed. Done before the entries are
    /// changed: what landed earlier is changed with them.
    pub fn overrule(&self, remove: impl FnOnce(&mut Store<K, F>, &mut Left<K, F>)) -> Left<K, F> {
        let mut left = Vec::new();
        let mut store = self.flights.lock();
        remove(&mut store, &mut left);
        self.note(&store);
        left
    }

    /// The same, of one key.
    pub fn overrule_key<Q: Question<K>>(
        &self,
        hash: u64,
        question: &Q,
    ) -> Result<Left<K, F>, Q::Error> {
        self.remove(hash, question, |_| true)
    }

    /// A computation has ended. It is not there any more if it was overruled, and another may
    /// have begun.
    pub fn landed<Q: Question<K>>(
        &self,
        hash: u64,
        question: &Q,
        is_it: impl Fn(&F) -> bool,
    ) -> Result<Left<K, F>, Q::Error> {
        self.remove(hash, question, is_it)
    }

    fn remove<Q: Question<K>>(
        &self,
        hash: u64,
        question: &Q,
        is_it: impl Fn(&F) -> bool,
    ) -> Result<Left<K, F>, Q::Error> {
        self.flights.at(hash, question, |store, _, place| {
            let mut left = Vec::new();
            let is_chosen = |place: &Place| store.peek(*place, 0).is_some_and(&is_it);
            if let Some(place) = place.filter(is_chosen) {
                store.remove(place, Cause::Explicit, &mut left);
            }
            self.note(store);
            left
        })
    }

    fn note(&self, store: &Store<K, F>) {
        if store.entries() == 0 {
            self.are_any.store(false, Ordering::Release);
        }
    }

    /// All keys and handles, unless they are locked.
    pub fn try_each<E>(&self, mut visit: impl FnMut(&K, &F) -> Result<(), E>) -> Result<(), E> {
        let Some(store) = self.flights.try_lock() else {
            return Ok(());
        };
        store
            .everything()
            .try_for_each(|(key, flight)| visit(key, flight))
    }
}
