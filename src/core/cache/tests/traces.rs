//! How much is found, on traces whose like is published for other caches.

use super::*;

/// Keys by Zipf's law, always the same.
pub(in crate::core::cache) fn zipf(exponent: f64, length: usize) -> Vec<u64> {
    const KEYS: i32 = 100_000;
    let mut together = 0.0;
    let shares: Vec<f64> = (1..=KEYS)
        .map(|rank| {
            together += f64::from(rank).powf(-exponent);
            together
        })
        .collect();
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64 * together
    };
    (0..length)
        .map(|_| {
            let drawn = draw();
            shares.partition_point(|share| *share < drawn) as u64
        })
        .collect()
}

fn ratio(policy: Policy, capacity: u64, trace: &[u64]) -> f64 {
    let mut cache = bounded(policy, capacity);
    let mut hits = 0_u32;
    for &key in trace {
        if cache.get(key).is_some() {
            hits += 1;
        } else {
            cache.put(key, key);
        }
    }
    f64::from(hits) / trace.len() as f64
}

#[test]
fn on_zipf_tiny_lfu_finds_more_than_lru_does() {
    let trace = zipf(1.0, 120_000);
    let (tiny, lru) = (
        ratio(Policy::TinyLfu, 1000, &trace),
        ratio(Policy::Lru, 1000, &trace),
    );
    println!("zipf 1.0: TinyLFU {tiny:.4}, LRU {lru:.4}");
    assert!(tiny >= 0.57 && lru < 0.53, "{tiny} {lru}");
}

#[test]
fn on_a_loop_larger_than_the_cache_lru_finds_nothing_and_tiny_lfu_much() {
    let trace: Vec<u64> = (0..40_000).map(|step| step % 2000).collect();
    let (tiny, lru) = (
        ratio(Policy::TinyLfu, 1000, &trace),
        ratio(Policy::Lru, 1000, &trace),
    );
    println!("loop: TinyLFU {tiny:.4}, LRU {lru:.4}");
    assert!(tiny > 0.3 && lru == 0.0, "{tiny} {lru}");
}
