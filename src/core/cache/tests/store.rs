use super::*;
use crate::core::cache::{Cause, Gone};

fn gone(key: u64, value: u64, cause: Cause) -> Gone<u64, u64> {
    Gone { key, value, cause }
}

#[test]
fn lru_evicts_what_was_used_least_recently() {
    let mut cache = bounded(Policy::Lru, 3);
    for key in 0..3 {
        cache.put(key, key * 10);
    }
    assert_eq!(cache.get(0), Some(0));
    assert_eq!(cache.put(3, 30), [gone(1, 10, Cause::Size)]);
    assert_eq!(cache.keys(), [0, 2, 3]);
}

#[test]
fn a_scan_does_not_wash_out_what_is_used_with_tiny_lfu() {
    let mut cache = bounded(Policy::TinyLfu, 100);
    for _ in 0..5 {
        for key in 0..90 {
            if cache.get(key).is_none() {
                cache.put(key, key);
            }
        }
    }
    for key in 1000..3000 {
        cache.put(key, key);
    }
    let kept = (0..90).filter(|key| cache.place(*key).is_some()).count();
    assert!(kept >= 85, "{kept}");
}

#[test]
fn a_value_that_is_replaced_leaves_with_the_key_it_was_replaced_under() {
    let mut cache = bounded(Policy::TinyLfu, 2);
    cache.put(1, 10);
    assert_eq!(cache.put(1, 11), [gone(1, 10, Cause::Replaced)]);
    assert_eq!(cache.get(1), Some(11));
    assert_eq!(cache.store.counts().replaced, 1);
}

#[test]
fn what_is_heavier_than_everything_is_not_kept_and_takes_its_earlier_value_along() {
    let mut cache = bounded(Policy::TinyLfu, 10);
    cache.put_with(1, 10, 4, NEVER, &[]);
    let left = cache.put_with(1, 11, 11, NEVER, &[]);
    assert_eq!(
        left,
        [gone(1, 10, Cause::Replaced), gone(1, 11, Cause::Size)]
    );
    assert_eq!((cache.store.entries(), cache.store.weight()), (0, 0));
}

#[test]
fn a_value_that_grows_makes_room_for_itself() {
    let mut cache = bounded(Policy::Lru, 10);
    for key in 0..5 {
        cache.put_with(key, key, 2, NEVER, &[]);
    }
    let left = cache.put_with(4, 40, 7, NEVER, &[]);
    assert_eq!(left.len(), 4);
    assert_eq!(cache.keys(), [3, 4]);
    assert_eq!(cache.store.weight(), 9);
}

#[test]
fn nothing_is_kept_where_nothing_may_be() {
    let mut cache = bounded(Policy::TinyLfu, 0);
    assert_eq!(cache.put(1, 10), [gone(1, 10, Cause::Size)]);
}

#[test]
fn an_entry_is_there_until_its_end_and_not_at_it() {
    let mut cache = bounded(Policy::TinyLfu, 10);
    cache.put_with(1, 10, 1, 100, &[]);
    cache.now = 99;
    assert_eq!(cache.get(1), Some(10));
    cache.now = 100;
    assert_eq!(cache.keys(), []);
    assert_eq!(cache.get(1), None);
    assert_eq!(cache.store.counts().expired, 1);
    assert!(!cache.store.can_expire());
}

#[test]
fn use_keeps_an_entry_from_its_time_to_idle() {
    let mut cache = with_limits(Limits {
        max_weight: None,
        policy: Policy::Lru,
        idle: Some(10),
    });
    cache.put(1, 10);
    cache.put(2, 20);
    for now in [9, 18, 27] {
        cache.now = now;
        assert_eq!(cache.get(1), Some(10));
    }
    let mut left = Vec::new();
    cache.store.expire(27, usize::MAX, &mut left);
    assert_eq!(left, [gone(2, 20, Cause::Expired)]);
    cache.store.expire(37, usize::MAX, &mut left);
    assert_eq!(cache.store.entries(), 0);
}

#[test]
fn a_new_value_has_a_life_of_its_own() {
    let mut cache = bounded(Policy::TinyLfu, 10);
    cache.put_with(1, 10, 1, 100, &[]);
    cache.put_with(1, 11, 1, 200, &[]);
    cache.now = 150;
    assert_eq!(cache.get(1), Some(11));
    cache.put(1, 12);
    cache.now = 1000;
    assert_eq!(cache.get(1), Some(12));
}

#[test]
fn what_expired_makes_room_before_anything_is_evicted() {
    let mut cache = bounded(Policy::Lru, 2);
    cache.put(1, 10);
    cache.put_with(2, 20, 1, 5, &[]);
    cache.now = 6;
    assert_eq!(cache.put(3, 30), [gone(2, 20, Cause::Expired)]);
    assert_eq!(cache.keys(), [1, 3]);
}

#[test]
fn entries_go_by_their_tags_of_now() {
    let mut cache = bounded(Policy::TinyLfu, 10);
    let tag = |text: &str| text.to_owned();
    cache.put_with(1, 10, 1, NEVER, &[tag("a"), tag("b"), tag("a")]);
    cache.put_with(2, 20, 1, NEVER, &[tag("a")]);
    cache.put_with(1, 11, 1, NEVER, &[tag("b")]);
    assert_eq!(cache.store.remove_tagged("a", &mut Vec::new()), 1);
    assert_eq!(cache.keys(), [1]);
    assert_eq!(cache.store.remove_tagged("b", &mut Vec::new()), 1);
    assert_eq!(cache.store.remove_tagged("b", &mut Vec::new()), 0);
}

#[test]
fn ages_count_from_when_a_value_was_written() {
    let mut cache = bounded(Policy::TinyLfu, 10);
    cache.put(1, 10);
    cache.now = 100;
    cache.put(2, 20);
    let gauges = cache.store.gauges(150);
    assert_eq!((gauges.oldest, gauges.mean_age), (150, 100));
}
