use std::cell::RefCell;

use super::*;
use crate::core::cache::{Cache, Question, Terms};

/// Keys that all hash alike, and must be asked.
struct Odd<'a, F> {
    key: u64,
    asked: &'a RefCell<Vec<u64>>,
    meanwhile: F,
}

impl<F: Fn(u64) -> Result<(), &'static str>> Question<u64> for Odd<'_, F> {
    type Error = &'static str;

    fn tell(&self, _: &u64) -> Option<bool> {
        None
    }

    fn copy(&self, key: &u64) -> u64 {
        *key
    }

    fn ask(&self, key: &u64) -> Result<bool, Self::Error> {
        self.asked.borrow_mut().push(*key);
        (self.meanwhile)(*key)?;
        Ok(*key == self.key)
    }
}

fn cache() -> Cache<u64, u64> {
    Cache::new(Store::new(Limits {
        max_weight: None,
        policy: Policy::Lru,
        idle: None,
    }))
}

fn put(
    cache: &Cache<u64, u64>,
    key: u64,
    asked: &RefCell<Vec<u64>>,
    meanwhile: impl Fn(u64) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    let question = Odd {
        key,
        asked,
        meanwhile,
    };
    cache.at(7, &question, |store, hash, place| {
        let gone = &mut Vec::new();
        store.put(hash, place, (key, key), 0, Terms::default(), gone);
    })
}

fn keys(cache: &Cache<u64, u64>) -> Vec<u64> {
    let mut keys: Vec<u64> = cache.lock().iter(0).map(|(key, _)| *key).collect();
    keys.sort_unstable();
    keys
}

#[allow(clippy::unnecessary_wraps)] // as the others
fn nothing(_: u64) -> Result<(), &'static str> {
    Ok(())
}

#[test]
fn a_key_is_asked_once_and_found_by_its_answer() {
    let (cache, asked) = (cache(), RefCell::default());
    for key in [1, 2, 3, 2] {
        put(&cache, key, &asked, nothing).unwrap();
    }
    assert_eq!(keys(&cache), [1, 2, 3]);
    asked.borrow_mut().clear();
    put(&cache, 3, &asked, nothing).unwrap();
    asked.borrow_mut().sort_unstable();
    assert_eq!(*asked.borrow(), [1, 2, 3]);
}

#[test]
fn a_key_that_is_asked_may_use_the_cache() {
    let (cache, asked) = (cache(), RefCell::default());
    put(&cache, 1, &asked, nothing).unwrap();
    let inner = RefCell::default();
    let meanwhile = |key: u64| {
        // The key that is being inserted comes meanwhile, once.
        if key == 1 {
            put(&cache, 2, &inner, nothing)
        } else {
            Ok(())
        }
    };
    put(&cache, 2, &asked, meanwhile).unwrap();
    assert_eq!(keys(&cache), [1, 2]);
    assert_eq!(*asked.borrow(), [1, 2]);
}

#[test]
fn what_goes_while_it_is_asked_is_not_found() {
    let (cache, asked) = (cache(), RefCell::default());
    put(&cache, 1, &asked, nothing).unwrap();
    let meanwhile = |_| {
        cache.lock().clear(&mut Vec::new());
        Ok(())
    };
    let question = Odd {
        key: 1,
        asked: &asked,
        meanwhile,
    };
    let place = cache.at(7, &question, |_, _, place| place);
    assert_eq!(place, Ok(None));
}

#[test]
fn a_key_that_fails_changes_nothing() {
    let (cache, asked) = (cache(), RefCell::default());
    put(&cache, 1, &asked, nothing).unwrap();
    let failed = put(&cache, 2, &asked, |_| Err("no"));
    assert_eq!((failed, keys(&cache)), (Err("no"), vec![1]));
}
