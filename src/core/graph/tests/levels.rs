use proptest::prelude::*;

use super::random::{built, dag, nodes};
use crate::core::graph::{NodeIndex, TaskDag};

#[test]
fn a_diamond_has_three_levels() {
    let dag = built(4, &[(0, 1), (0, 2), (1, 3), (2, 3)]);
    assert_eq!(dag.levels(), [vec![0], vec![1, 2], vec![3]]);
    assert_eq!((dag.depth(), dag.max_width()), (3, 2));
    assert!(!dag.is_chain_like());
}

#[test]
fn a_chain_with_extra_forward_edges_is_still_chain_like() {
    assert!(built(4, &[(0, 1), (1, 2), (2, 3), (0, 3), (1, 3)]).is_chain_like());
    assert!(built(1, &[]).is_chain_like());
    assert!(!built(2, &[]).is_chain_like());
}

#[test]
fn independent_nodes_may_outnumber_the_largest_level() {
    // A chain 0-1-2-3 with a leaf at each link: the four leaves are independent of one another.
    let chain_with_leaves = [(0, 1), (1, 2), (2, 3), (0, 4), (1, 5), (2, 6), (3, 7)];
    let dag = built(8, &chain_with_leaves);
    assert_eq!(dag.max_width(), 2);
    // All four run in the same second when the links take no time.
    let seconds = [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0];
    let schedule = dag.simulate(&seconds, 4).expect("valid durations");
    assert!((schedule.makespan - 1.0).abs() < f64::EPSILON);
}

/// The longest distance from a source, by relaxing every edge until nothing changes.
fn distances(dag: &TaskDag) -> Vec<usize> {
    let mut distance = vec![0; dag.node_count()];
    loop {
        let before = distance.clone();
        for from in nodes(dag) {
            for &to in dag.successors(from) {
                let through = distance[from as usize] + 1;
                distance[to as usize] = distance[to as usize].max(through);
            }
        }
        if distance == before {
            return distance;
        }
    }
}

/// Whether each two nodes are ordered by a path.
fn is_total_order(dag: &TaskDag) -> bool {
    let mut behind: Vec<std::collections::HashSet<NodeIndex>> =
        vec![std::collections::HashSet::new(); dag.node_count()];
    for &node in dag.topological_order().iter().rev() {
        for &next in dag.successors(node) {
            let reached = behind[next as usize].clone();
            behind[node as usize].extend(reached);
            behind[node as usize].insert(next);
        }
    }
    let order = dag.topological_order();
    (0..order.len()).all(|at| behind[order[at] as usize].len() == order.len() - at - 1)
}

proptest! {
    #[test]
    fn a_level_is_the_longest_distance_from_a_source(dag in dag(30)) {
        let distance = distances(&dag);
        let levels = dag.levels();
        let mut seen = 0;
        for (level, members) in levels.iter().enumerate() {
            prop_assert!(!members.is_empty() && members.is_sorted());
            prop_assert!(members.iter().all(|&node| distance[node as usize] == level));
            seen += members.len();
        }
        prop_assert_eq!(seen, dag.node_count());
        prop_assert_eq!(dag.depth(), levels.len());
        prop_assert_eq!(dag.max_width(), levels.iter().map(Vec::len).max().unwrap_or(0));
    }

    #[test]
    fn chain_like_means_that_any_two_nodes_are_ordered(dag in dag(5)) {
        prop_assert_eq!(dag.is_chain_like(), is_total_order(&dag));
    }
}
