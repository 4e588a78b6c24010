//! A store behind a lock that is never held while keys are asked whether they are equal.

use crate::core::sync::{Mutex, MutexGuard};

use super::store::{Found, Place, Store};

/// A key that is looked for.
pub trait Question<K> {
    /// Why it cannot be told whether two keys are equal.
    type Error;

    /// Whether it is this key, if that can be told without calling anybody. Called while
    /// the cache is locked.
    fn tell(&self, key: &K) -> Option<bool>;

    /// A second handle on a key. Called while the cache is locked.
    fn copy(&self, key: &K) -> K;

    /// Whether it is this key. Called while nothing is locked; may use the cache.
    fn ask(&self, key: &K) -> Result<bool, Self::Error>;
}

/// What a hash function leaves alike is spread over all bits: those of small integers are
/// the integers themselves. No two hashes become one.
fn spread(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ (hash >> 32)
}

pub struct Cache<K, V> {
    store: Mutex<Store<K, V>>,
}

impl<K, V> Cache<K, V> {
    pub fn new(store: Store<K, V>) -> Self {
        Self {
            store: Mutex::new(store),
        }
    }

    /// The store. While it is locked nobody's code may be called and nothing dropped.
    pub fn lock(&self) -> MutexGuard<'_, Store<K, V>> {
        self.store.lock()
    }

    pub fn try_lock(&self) -> Option<MutexGuard<'_, Store<K, V>>> {
        self.store.try_lock()
    }

    /// Does something where a key is, or where it would be, and under one lock with the
    /// search for it; `act` is given the hash as the store has it.
    ///
    /// Keys that must be asked are asked unlocked. Then the search begins anew with the
    /// answers, which hold for keys and not for places: one that came meanwhile is asked
    /// too, and one that went is not found.
    #[inline]
    pub fn at<Q: Question<K>, R>(
        &self,
        hash: u64,
        question: &Q,
        act: impl FnOnce(&mut Store<K, V>, u64, Option<Place>) -> R,
    ) -> Result<R, Q::Error> {
        let hash = spread(hash);
        let mut answers = Vec::new();
        loop {
            let mut store = self.store.lock();
            let tell = |key: &K| question.tell(key);
            match store.find(hash, &answers, tell, |key| question.copy(key)) {
                Found::There(place) => return Ok(act(&mut store, hash, Some(place))),
                Found::Absent => return Ok(act(&mut store, hash, None)),
                Found::Unsure(keys) => {
                    drop(store);
                    for (serial, key) in keys {
                        answers.push((serial, question.ask(&key)?));
                    }
                }
            }
        }
    }
}
