//! Random uses, against the plainest thing that behaves alike.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::core::cache::Cause;

#[derive(Clone, Debug)]
enum Step {
    Put(u64, u64, u64, Option<u64>, Option<u8>),
    Get(u64),
    Remove(u64),
    Pass(u64),
    Expire,
    Untag(u8),
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..24_u64;
    let put = (
        key.clone(),
        any::<u64>(),
        0..6_u64,
        prop::option::of(0..20_u64),
        prop::option::of(0..3_u8),
    );
    prop_oneof![
        8 => put.prop_map(|(key, value, weight, life, tag)| Step::Put(key, value, weight, life, tag)),
        8 => key.clone().prop_map(Step::Get),
        2 => key.prop_map(Step::Remove),
        2 => (0..8_u64).prop_map(Step::Pass),
        1 => Just(Step::Expire),
        1 => (0..3_u8).prop_map(Step::Untag),
        1 => Just(Step::Clear),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Known {
    value: u64,
    weight: u64,
    expires: Nanos,
    used: Nanos,
    tag: Option<u8>,
}

fn check(limits: Limits, steps: Vec<Step>) {
    let mut cache = with_limits(limits);
    let mut known: HashMap<u64, Known> = HashMap::new();
    let end = |each: &Known| match limits.idle {
        Some(idle) => each.expires.min(each.used + idle),
        None => each.expires,
    };
    for step in steps {
        let now = cache.now;
        let mut gone = Vec::new();
        match step {
            Step::Put(key, value, weight, life, tag) => {
                let expires = life.map_or(NEVER, |life| now + life);
                let tags: Vec<String> = tag.iter().map(u8::to_string).collect();
                let is_new = cache.place(key).is_none();
                gone = cache.put_with(key, value, weight, expires, &tags);
                let fresh = Known {
                    value,
                    weight,
                    expires,
                    used: now,
                    tag,
                };
                // What was there before leaves as expired or replaced, if it was not new.
                for left in gone.iter().filter(|left| left.cause != Cause::Size) {
                    let before = known.remove(&left.key).unwrap();
                    assert_eq!(before.value, left.value);
                    let has_expired = end(&before) <= now;
                    assert!(left.cause == Cause::Replaced || has_expired);
                }
                assert!(!is_new || !known.contains_key(&key));
                known.insert(key, fresh);
                gone.retain(|left| left.cause == Cause::Size);
            }
            Step::Get(key) => {
                let expected = known.get(&key).filter(|each| end(each) > now);
                assert_eq!(cache.get(key), expected.map(|each| each.value));
                match known.get_mut(&key) {
                    Some(each) if end(each) > now => each.used = now,
                    _ => drop(known.remove(&key)),
                }
            }
            Step::Remove(key) => {
                if let Some(place) = cache.place(key) {
                    cache.store.remove(place, Cause::Explicit, &mut gone);
                }
            }
            Step::Pass(time) => cache.now += time,
            Step::Expire => {
                cache.store.expire(now, usize::MAX, &mut gone);
                assert!(known.values().filter(|each| end(each) <= now).count() == gone.len());
            }
            Step::Untag(tag) => {
                let expected = known.values().filter(|each| each.tag == Some(tag)).count();
                let removed = cache.store.remove_tagged(&tag.to_string(), &mut gone);
                assert_eq!(removed, expected);
            }
            Step::Clear => cache.store.clear(&mut gone),
        }
        for left in gone {
            let before = known.remove(&left.key).unwrap();
            assert_eq!(before.value, left.value);
        }
        assert_eq!(cache.store.entries(), known.len());
        let weight: u64 = known.values().map(|each| each.weight).sum();
        assert_eq!(cache.store.weight(), weight);
        assert!(limits.max_weight.is_none_or(|most| weight <= most));
        let mut living: Vec<u64> = known
            .iter()
            .filter(|(_, each)| end(each) > cache.now)
            .map(|(key, _)| *key)
            .collect();
        living.sort_unstable();
        assert_eq!(cache.keys(), living);
    }
}

proptest! {
    #[test]
    fn a_cache_holds_what_was_written_and_has_not_left(
        most in prop::option::of(0..40_u64),
        is_lru in any::<bool>(),
        idle in prop::option::of(1..15_u64),
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let policy = if is_lru { Policy::Lru } else { Policy::TinyLfu };
        check(Limits { max_weight: most, policy, idle }, steps);
    }
}
