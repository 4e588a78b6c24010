use std::collections::BTreeSet;

use proptest::prelude::*;

use super::random::{acyclic_edges, built, nodes};
use crate::core::graph::{GraphError, TaskDag};

#[test]
fn an_empty_graph_answers_every_question() {
    let dag = built(0, &[]);
    assert_eq!((dag.node_count(), dag.edge_count()), (0, 0));
    assert!(dag.topological_order().is_empty());
    assert!(dag.is_index_order_topological());
    assert!(dag.levels().is_empty());
    assert_eq!((dag.depth(), dag.max_width()), (0, 0));
    assert!(dag.is_chain_like());
}

#[test]
fn an_edge_given_twice_counts_once() {
    let dag = built(3, &[(0, 2), (1, 2), (0, 2), (0, 2)]);
    assert_eq!(dag.edge_count(), 2);
    assert_eq!(dag.predecessors(2), [0, 1]);
    assert_eq!(dag.in_degrees(), [0, 0, 2]);
}

#[test]
fn an_unknown_node_is_named_at_either_end_of_an_edge() {
    for edge in [(0, 5), (5, 0), (5, 5)] {
        let error = TaskDag::from_edges(5, &[(0, 1), edge]).unwrap_err();
        let expected = GraphError::UnknownNode {
            index: 5,
            node_count: 5,
        };
        assert_eq!(error, expected);
        assert!(error.to_string().contains("node 5") && error.to_string().contains("5 nodes"));
    }
}

#[test]
fn an_edge_in_a_graph_without_nodes_is_refused() {
    let error = TaskDag::from_edges(0, &[(0, 0)]).unwrap_err();
    let expected = GraphError::UnknownNode {
        index: 0,
        node_count: 0,
    };
    assert_eq!(error, expected);
}

#[test]
fn more_nodes_than_indices_are_refused_before_memory_is_taken() {
    for count in [1 << 32, usize::MAX] {
        let error = TaskDag::from_edges(count, &[]).unwrap_err();
        assert_eq!(error, GraphError::TooManyNodes { count });
    }
}

proptest! {
    #[test]
    fn neighbours_are_the_given_edges_ascending_and_unique(
        (count, edges) in acyclic_edges(30),
    ) {
        let dag = built(count, &edges);
        let distinct: BTreeSet<_> = edges.iter().copied().collect();
        prop_assert_eq!(dag.node_count(), count);
        prop_assert_eq!(dag.edge_count(), distinct.len());
        for node in nodes(&dag) {
            let after: Vec<_> = distinct.iter().filter(|e| e.0 == node).map(|e| e.1).collect();
            let before: Vec<_> = distinct.iter().filter(|e| e.1 == node).map(|e| e.0).collect();
            prop_assert_eq!(dag.successors(node), after.as_slice());
            prop_assert_eq!(dag.predecessors(node), before.as_slice());
            prop_assert_eq!(dag.out_degree(node), after.len());
            prop_assert_eq!(dag.in_degree(node), before.len());
            prop_assert_eq!(dag.in_degrees()[node as usize] as usize, before.len());
        }
    }
}
