//! Graphs of the sizes that are promised.

use super::random::{Edges, built};
use crate::core::graph::{NodeIndex, TaskDag};

fn chain(count: NodeIndex) -> Edges {
    (1..count).map(|node| (node - 1, node)).collect()
}

/// Three edges a node, from three scattered nodes before it.
fn tangle(count: NodeIndex) -> Edges {
    (1..count)
        .flat_map(|node| [7, 31, 1009].map(|stride| (node.wrapping_mul(stride) % node, node)))
        .collect()
}

/// The same graph with its numbering turned round, so that index order is not topological.
fn turned_round(count: NodeIndex, edges: Edges) -> Edges {
    let turn = |node| count - 1 - node;
    edges.into_iter().map(|(a, b)| (turn(a), turn(b))).collect()
}

fn assert_small_and_ordered(dag: &TaskDag, count: NodeIndex) {
    assert_eq!(dag.node_count(), count as usize);
    let bytes_a_node = dag.size_in_bytes() / dag.node_count();
    assert!(bytes_a_node < 200, "{bytes_a_node} bytes a node");
    // A measure that leaves out what the arrays hold would pass the line above.
    assert!(dag.size_in_bytes() >= 4 * (4 * dag.node_count() + 2 * dag.edge_count()));
    for node in 0..count {
        let place = dag.position(node);
        let before = dag.predecessors(node);
        assert!(before.iter().all(|&other| dag.position(other) < place));
    }
}

#[test]
fn a_hundred_thousand_nodes_stay_under_200_bytes_each() {
    let count = 100_000;
    for edges in [chain(count), tangle(count)] {
        assert_small_and_ordered(&built(count as usize, &edges), count);
        let turned = built(count as usize, &turned_round(count, edges));
        assert_small_and_ordered(&turned, count);
    }
}

#[test]
fn a_million_nodes_work() {
    let count = 1_000_000;
    let dag = built(count as usize, &turned_round(count, tangle(count)));
    assert_small_and_ordered(&dag, count);
    let seconds = vec![1.0; count as usize];
    let path = dag.critical_path(&seconds).expect("valid durations");
    assert_eq!(path.nodes.len(), dag.depth());
    let schedule = dag.simulate(&seconds, 8).expect("valid durations");
    assert_eq!(schedule.slots.len(), count as usize);
}

#[test]
fn a_chain_of_a_million_nodes_needs_no_deep_stack() {
    let count = 1_000_000;
    let dag = built(count as usize, &chain(count));
    assert!(dag.is_chain_like());
    assert_eq!(dag.depth(), count as usize);
}

#[test]
fn a_star_with_a_hundred_thousand_leaves_has_one_wide_level() {
    let count = 100_000;
    let edges: Edges = (1..count).rev().map(|leaf| (0, leaf)).collect();
    let dag = built(count as usize, &edges);
    assert_eq!(dag.max_width(), count as usize - 1);
    assert!(dag.successors(0).is_sorted());
}
