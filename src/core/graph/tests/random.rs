//! Random graphs for the property tests.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::core::graph::{NodeIndex, TaskDag};

pub type Edges = Vec<(NodeIndex, NodeIndex)>;

/// A node count with edges between those nodes, cyclic more often than not.
pub fn any_graph(largest: usize) -> impl Strategy<Value = (usize, Edges)> {
    (1..=largest).prop_flat_map(|count| {
        let node = 0..count as NodeIndex;
        (Just(count), vec((node.clone(), node), 0..=count + 2))
    })
}

/// An acyclic graph whose index order is topological only by chance, repeated edges included.
pub fn acyclic_edges(largest: usize) -> impl Strategy<Value = (usize, Edges)> {
    (0..=largest).prop_flat_map(|count| {
        let names: Vec<NodeIndex> = (0..count as NodeIndex).collect();
        let place = 0..count.max(1);
        let pairs = vec((place.clone(), place), 0..=2 * count);
        (Just(names).prop_shuffle(), pairs).prop_map(move |(names, pairs)| {
            let edges = pairs
                .into_iter()
                .filter(|(a, b)| a != b)
                .map(|(a, b)| (names[a.min(b)], names[a.max(b)]))
                .collect();
            (count, edges)
        })
    })
}

pub fn dag(largest: usize) -> impl Strategy<Value = TaskDag> {
    acyclic_edges(largest).prop_map(|(count, edges)| built(count, &edges))
}

/// Whole seconds from `least`, whose sums are exact in any order.
pub fn dag_with_seconds(largest: usize, least: u8) -> impl Strategy<Value = (TaskDag, Vec<f64>)> {
    dag(largest).prop_flat_map(move |dag| {
        let seconds = vec((least..least + 9).prop_map(f64::from), dag.node_count());
        (Just(dag), seconds)
    })
}

pub fn built(node_count: usize, edges: &[(NodeIndex, NodeIndex)]) -> TaskDag {
    TaskDag::from_edges(node_count, edges).expect("the edges are acyclic")
}

pub fn nodes(dag: &TaskDag) -> std::ops::Range<NodeIndex> {
    0..dag.node_count() as NodeIndex
}
