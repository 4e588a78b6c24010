//! Random graphs, numbered topologically as runs need them.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::core::graph::TaskDag;

use super::built;

pub fn dag(largest: usize) -> impl Strategy<Value = Arc<TaskDag>> {
    (0..=largest, 0..=2_usize).prop_flat_map(|(count, density)| {
        let place = 0..count.max(1) as u32;
        vec((place.clone(), place), 0..=density * count).prop_map(move |pairs| {
            let edges: Vec<(u32, u32)> = pairs
                .into_iter()
                .filter(|(a, b)| a != b)
                .map(|(a, b)| (a.min(b), a.max(b)))
                .collect();
            built(count, &edges)
        })
    })
}

/// True for about one node in `of`, or for none at all.
pub fn some_nodes(count: usize, of: u8) -> impl Strategy<Value = Vec<bool>> {
    let few = vec((0..of).prop_map(|pick| pick == 0), count);
    prop_oneof![Just(vec![false; count]), few]
}

/// Known durations, on both sides of the blocking threshold, or none at all.
pub fn seconds(count: usize) -> impl Strategy<Value = Vec<Option<f32>>> {
    // Few distinct values make ties; sums of sixteenths are exact.
    let one = prop_oneof![
        Just(None),
        Just(Some(0.0)),
        (1..4_u8).prop_map(|n| Some(f32::from(n) / 16.0))
    ];
    prop_oneof![Just(vec![None; count]), vec(one, count)]
}
