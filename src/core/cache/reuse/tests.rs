use proptest::prelude::*;

use super::super::tests::traces::zipf;
use super::super::{Found, Limits, NEVER, Nanos, Place, Policy, Store, Terms};
use super::{MOST, Report, USUAL_SHARE};

/// A cache that is filled at every miss.
struct Watched {
    store: Store<u64, ()>,
    now: Nanos,
    life: Option<Nanos>,
    /// What a key weighs.
    weigh: fn(u64) -> u64,
}

fn watched(policy: Policy, size: u64, share: f64) -> Watched {
    let limits = Limits {
        max_weight: Some(size),
        policy,
        idle: None,
    };
    Watched {
        store: Store::new(limits).asking_what_if(share),
        now: 0,
        life: None,
        weigh: |_| 1,
    }
}

fn hashed(key: u64) -> u64 {
    let mixed = (key ^ 0x5bd1_e995).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

impl Watched {
    fn place(&self, key: u64) -> Option<Place> {
        let same = |each: &u64| Some(*each == key);
        match self.store.find(hashed(key), &[], same, |each| *each) {
            Found::There(place) => Some(place),
            _ => None,
        }
    }

    fn ask(&mut self, key: u64) {
        let mut gone = Vec::new();
        let (hash, place) = (hashed(key), self.place(key));
        if self.store.get(hash, place, self.now, &mut gone).is_some() {
            return;
        }
        let place = self.place(key);
        let terms = Terms {
            weight: (self.weigh)(key),
            expires: self.life.map_or(NEVER, |life| self.now + life),
            tags: &[],
        };
        self.store
            .put(hash, place, (key, ()), self.now, terms, &mut gone);
    }

    fn run(&mut self, trace: &[u64]) -> Report {
        for &key in trace {
            self.ask(key);
            self.now += 1;
        }
        self.report(&[])
    }

    fn report(&self, sizes: &[u64]) -> Report {
        self.store.what_if(sizes).unwrap()
    }

    fn ratio(&self) -> f64 {
        let counts = self.store.counts();
        counts.hits as f64 / (counts.hits + counts.misses) as f64
    }
}

fn with_scans(trace: &[u64]) -> Vec<u64> {
    let mut fresh = 1_000_000;
    let mut scan = || {
        fresh += 2_500;
        fresh - 2_500..fresh
    };
    let parts = trace.chunks(5_000);
    parts
        .flat_map(|part| part.iter().copied().chain(scan()).collect::<Vec<_>>())
        .collect()
}

fn loops(keys: u64, length: u64) -> Vec<u64> {
    (0..length).map(|step| step % keys).collect()
}

fn traces(length: usize) -> [(&'static str, Vec<u64>); 6] {
    [
        ("Zipf 0.7", zipf(0.7, length)),
        ("Zipf 1.0", zipf(1.0, length)),
        ("Zipf 1.3", zipf(1.3, length)),
        ("Zipf 1.0 with scans", with_scans(&zipf(1.0, length))),
        ("loop over 1500", loops(1500, length as u64)),
        ("loop over 3000", loops(3000, length as u64)),
    ]
}

/// What a cache of this size finds by itself, counted as the report of one counts.
fn truth(policy: Policy, size: u64, trace: &[u64]) -> f64 {
    watched(policy, size, USUAL_SHARE).run(trace).hit_ratio
}

proptest! {
    /// The size that a request needs is its distance in the LRU stack, and one.
    #[test]
    fn with_all_keys_the_curve_is_what_lru_does(
        size in 1..31_u64,
        other in 1..31_u64,
        trace in prop::collection::vec(0..40_u64, 1..400),
    ) {
        let mut stack: Vec<u64> = Vec::new();
        let mut misses = 0_u32;
        let mut cache = watched(Policy::TinyLfu, size, 1.0);
        for &key in &trace {
            cache.ask(key);
            let depth = stack.iter().rev().position(|each| *each == key);
            misses += u32::from(depth.is_none_or(|depth| depth as u64 >= other));
            stack.retain(|each| *each != key);
            stack.push(key);
        }
        let reach = size * super::REACH;
        let exact = 1.0 - f64::from(misses) / trace.len() as f64;
        let found = cache.report(&[other]).lru[0].hit_ratio;
        // Farther than it reaches, it knows of no hits.
        let as_expected = if other < reach { (found - exact).abs() < 1e-9 } else { found <= exact + 1e-9 };
        prop_assert!(as_expected, "found {}, exactly {}", found, exact);
    }

    #[test]
    fn with_all_keys_half_and_twice_are_exact(
        half in 1..20_u64,
        is_lru in any::<bool>(),
        life in prop::option::of(1..200_u64),
        trace in prop::collection::vec(0..60_u64, 1..500),
    ) {
        let policy = if is_lru { Policy::Lru } else { Policy::TinyLfu };
        let run = |size| {
            let mut cache = watched(policy, size, 1.0);
            cache.life = life;
            cache.run(&trace);
            cache
        };
        let found = run(half * 2).report(&[]);
        prop_assert!((found.half.hit_ratio - run(half).ratio()).abs() < 1e-9);
        prop_assert!((found.twice.hit_ratio - run(half * 4).ratio()).abs() < 1e-9);
        prop_assert!((found.hit_ratio - run(half * 2).ratio()).abs() < 1e-9);
        prop_assert_eq!((found.half.size, found.twice.size), (half, half * 4));
        prop_assert_eq!((found.half.margin, found.twice.margin), (0.0, 0.0));
    }
}

#[test]
fn with_one_key_in_sixteen_half_and_twice_are_close() {
    for (name, trace) in traces(50_000) {
        let limit = if name.starts_with("loop") { 0.09 } else { 0.03 };
        for policy in [Policy::TinyLfu, Policy::Lru] {
            let found = watched(policy, 1000, USUAL_SHARE).run(&trace);
            assert!(
                (found.share - 0.0625).abs() < 1e-9 && found.samples > 1_000.0,
                "{found:?}"
            );
            for each in [found.half, found.twice] {
                let error = (each.hit_ratio - truth(policy, each.size, &trace)).abs();
                assert!(
                    error < limit,
                    "{name} {policy:?} {} {error} {}",
                    each.size,
                    each.margin
                );
            }
        }
    }
}

#[test]
fn the_curve_of_a_sample_is_close_to_lru() {
    for (name, trace) in traces(50_000) {
        for (policy, limit) in [(Policy::Lru, 0.02), (Policy::TinyLfu, 0.04)] {
            let mut cache = watched(policy, 1000, USUAL_SHARE);
            cache.run(&trace);
            for each in cache.report(&[500, 1000, 2000]).lru {
                let error = (each.hit_ratio - truth(Policy::Lru, each.size, &trace)).abs();
                assert!(error < limit, "{name} {policy:?} {} {error}", each.size);
            }
        }
    }
}

#[test]
fn what_is_asked_for_lately_counts() {
    let mut cache = watched(Policy::Lru, 1000, 1.0);
    // Ten keys, all of which fit in any size.
    cache.run(&loops(10, 100_000));
    assert!(cache.report(&[]).half.hit_ratio > 0.99);
    // A loop that fits in twice the size alone.
    cache.run(&loops(1500, 150_000));
    let found = cache.report(&[1000, 2000]);
    assert!(
        found.hit_ratio < 0.05 && found.half.hit_ratio < 0.05,
        "{found:?}"
    );
    assert!(
        found.twice.hit_ratio > 0.9 && found.lru[1].hit_ratio > 0.9,
        "{found:?}"
    );
}

#[test]
fn however_many_keys_there_are_no_more_are_kept() {
    let mut cache = watched(Policy::TinyLfu, 40_000, 1.0);
    let found = cache.run(&loops(100_000, 150_000));
    assert!(found.share < 0.2, "{found:?}");
    let what_if = cache.store.what_if.as_deref().unwrap();
    assert!(what_if.stack.len() <= 2 * MOST);
    let together: usize = what_if
        .miniatures
        .iter()
        .map(super::Miniature::entries)
        .sum();
    assert!(together <= 2 * MOST && together > MOST / 4);
    let error = found.half.hit_ratio
        - watched(Policy::TinyLfu, 20_000, 1.0)
            .run(&loops(100_000, 150_000))
            .hit_ratio;
    assert!(error.abs() < 0.02, "{error}");
}

#[test]
fn where_entries_are_heavy_more_keys_are_sampled() {
    let mut cache = watched(Policy::Lru, 1_000_000, 1.0 / 64.0);
    cache.weigh = |key| 5_000 + key % 7 * 1_000;
    let trace = zipf(1.0, 60_000);
    let found = cache.run(&trace);
    assert!(found.share > 0.2, "{found:?}");
    let mut twice = watched(Policy::Lru, 2_000_000, 1.0);
    twice.weigh = cache.weigh;
    twice.run(&trace);
    assert!(
        (found.twice.hit_ratio - twice.ratio()).abs() < 0.03,
        "{found:?}"
    );
}

#[test]
fn what_is_too_heavy_for_the_cache_is_there_at_twice_its_size() {
    let mut cache = watched(Policy::Lru, 100, 1.0);
    cache.weigh = |_| 150;
    let found = cache.run(&loops(1, 100));
    assert!(
        found.hit_ratio < 1e-9 && found.half.hit_ratio < 1e-9,
        "{found:?}"
    );
    assert!((found.twice.hit_ratio - 0.99).abs() < 1e-9, "{found:?}");
}

#[test]
fn what_was_removed_is_nowhere() {
    let mut cache = watched(Policy::Lru, 10, 1.0);
    cache.run(&loops(15, 60));
    let before = cache.report(&[]).twice.hit_ratio;
    assert!(before > 0.7);
    let mut gone = Vec::new();
    for key in 0..15 {
        match cache.place(key) {
            Some(place) => cache
                .store
                .remove(place, super::super::Cause::Explicit, &mut gone),
            None => cache.store.removed_nothing(hashed(key)),
        }
    }
    cache.store.reset_counts();
    assert!(cache.report(&[]).requests < 0.5);
    let found = cache.run(&loops(15, 15));
    assert!(found.requests > 14.5 && found.twice.hit_ratio < 1e-9);
    cache.store.clear(&mut gone);
    cache.run(&loops(15, 15));
    assert!(cache.report(&[20]).lru[0].hit_ratio < 1e-9);
}

#[test]
fn what_is_asked_for_and_never_written_is_no_hit() {
    let mut cache = watched(Policy::Lru, 10, 1.0);
    for key in loops(3, 60) {
        let place = cache.place(key);
        cache.store.get(hashed(key), place, 0, &mut Vec::new());
    }
    let found = cache.report(&[10, 100]);
    assert!(found.requests > 59.5);
    let ratios = [found.hit_ratio, found.half.hit_ratio, found.twice.hit_ratio];
    assert!(ratios.iter().all(|ratio| *ratio < 1e-9), "{found:?}");
    assert!(found.lru.iter().all(|each| each.hit_ratio < 1e-9));
}

/// `cargo test --release --lib reuse::tests::errors -- --ignored --nocapture`; `scripts/plot_what_if.py`
/// draws what it prints.
#[test]
#[ignore = "a measurement"]
fn errors() {
    println!("trace,policy,size,of,true,estimated,margin");
    for (name, trace) in traces(600_000) {
        for policy in [Policy::TinyLfu, Policy::Lru] {
            for size in [1000, 8000] {
                let mut cache = watched(policy, size, USUAL_SHARE);
                let found = cache.run(&trace);
                for each in [found.half, found.twice] {
                    let exact = truth(policy, each.size, &trace);
                    println!(
                        "{name},{policy:?},{},{size},{exact:.4},{:.4},{:.4}",
                        each.size, each.hit_ratio, each.margin
                    );
                }
                let sizes = [size / 4, size / 2, size, size * 2, size * 4];
                for each in cache.report(&sizes).lru {
                    let exact = truth(Policy::Lru, each.size, &trace);
                    println!(
                        "{name},curve of {policy:?},{},{size},{exact:.4},{:.4},",
                        each.size, each.hit_ratio
                    );
                }
            }
        }
    }
}
