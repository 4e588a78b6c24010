use proptest::prelude::*;

use super::random::{acyclic_edges, built, dag, nodes};
use crate::core::graph::{NodeIndex, TaskDag};

#[test]
fn an_index_order_that_is_topological_is_kept() {
    let dag = built(4, &[(0, 3), (1, 2)]);
    assert!(dag.is_index_order_topological());
    assert_eq!(dag.topological_order(), [0, 1, 2, 3]);
}

#[test]
fn otherwise_the_smallest_available_index_comes_next() {
    let dag = built(5, &[(4, 0), (3, 1)]);
    assert!(!dag.is_index_order_topological());
    assert_eq!(dag.topological_order(), [2, 3, 1, 4, 0]);
}

/// The rule itself, in quadratic time.
fn smallest_available_first(dag: &TaskDag) -> Vec<NodeIndex> {
    let mut order: Vec<NodeIndex> = Vec::new();
    while order.len() < dag.node_count() {
        let next = nodes(dag).find(|&node| {
            let is_placed = |other: &NodeIndex| order.contains(other);
            !is_placed(&node) && dag.predecessors(node).iter().all(is_placed)
        });
        order.push(next.expect("an acyclic graph always has an available node"));
    }
    order
}

proptest! {
    #[test]
    fn every_node_is_placed_once_and_after_its_predecessors(
        (count, edges) in acyclic_edges(40),
    ) {
        let dag = built(count, &edges);
        let mut placed = dag.topological_order().to_vec();
        for (place, &node) in placed.iter().enumerate() {
            prop_assert_eq!(dag.position(node), place);
        }
        for (before, after) in edges {
            prop_assert!(dag.position(before) < dag.position(after));
        }
        placed.sort_unstable();
        prop_assert!(placed.into_iter().eq(nodes(&dag)));
    }

    #[test]
    fn the_order_is_the_smallest_available_index_first(dag in dag(25)) {
        let expected = smallest_available_first(&dag);
        prop_assert_eq!(dag.topological_order(), expected.as_slice());
        prop_assert_eq!(dag.is_index_order_topological(), expected.is_sorted());
    }

    #[test]
    fn the_order_does_not_depend_on_how_edges_are_listed(
        (count, edges) in acyclic_edges(25),
    ) {
        let mut reversed = edges.clone();
        reversed.reverse();
        let (one, other) = (built(count, &edges), built(count, &reversed));
        prop_assert_eq!(one.topological_order(), other.topological_order());
    }
}
