use std::collections::BTreeSet;

use proptest::prelude::*;

use super::random::any_graph;
use crate::core::graph::{GraphError, NodeIndex, TaskDag};

fn cycle_in(node_count: usize, edges: &[(NodeIndex, NodeIndex)]) -> Vec<NodeIndex> {
    match TaskDag::from_edges(node_count, edges) {
        Err(GraphError::Cycle { path }) => path,
        other => panic!("expected a cycle, got {other:?}"),
    }
}

#[test]
fn a_node_that_waits_for_itself_is_the_shortest_cycle() {
    let edges = [(0, 1), (1, 0), (3, 3), (2, 2)];
    assert_eq!(cycle_in(4, &edges), [2, 2]);
}

#[test]
fn a_cycle_is_named_without_the_nodes_that_lead_to_it_or_hang_from_it() {
    let edges = [(0, 3), (3, 1), (1, 4), (4, 3), (4, 2), (2, 5)];
    assert_eq!(cycle_in(6, &edges), [1, 4, 3, 1]);
}

#[test]
fn the_short_way_round_is_named() {
    let edges = [(0, 1), (1, 2), (2, 3), (3, 0), (2, 0)];
    assert_eq!(cycle_in(4, &edges), [0, 1, 2, 0]);
}

#[test]
fn of_two_cycles_through_a_node_the_shorter_is_named() {
    let edges = [(0, 1), (1, 2), (2, 0), (0, 3), (3, 4), (4, 5), (5, 0)];
    assert_eq!(cycle_in(6, &edges), [0, 1, 2, 0]);
}

#[test]
fn the_path_starts_at_its_smallest_node_wherever_the_cycle_was_met() {
    // Walking back from 0 leads into 2-3-4-5-6; the shortest way round through 2 visits 0 again.
    let ring = [(2, 3), (3, 4), (4, 5), (5, 6), (6, 2)];
    let detours = [(4, 1), (1, 0), (2, 8), (8, 0), (0, 9), (9, 2)];
    let edges = [&ring[..], &detours].concat();
    assert_eq!(cycle_in(10, &edges), [0, 9, 2, 8, 0]);
}

#[test]
fn the_message_shows_the_whole_path() {
    let error = TaskDag::from_edges(3, &[(2, 1), (1, 0), (0, 2)]).unwrap_err();
    assert!(error.to_string().contains("0 -> 2 -> 1 -> 0"), "{error}");
}

#[test]
fn a_cycle_of_a_hundred_thousand_nodes_is_found_without_recursion() {
    let count = 100_000;
    let edges: Vec<_> = (0..count).map(|node| (node, (node + 1) % count)).collect();
    let path = cycle_in(count as usize, &edges);
    assert!(path.into_iter().eq((0..count).chain([0])));
}

/// Warshall's closure: which nodes can be reached from which.
fn reachable(count: usize, edges: &[(NodeIndex, NodeIndex)]) -> Vec<Vec<bool>> {
    let mut reach = vec![vec![false; count]; count];
    for &(from, to) in edges {
        reach[from as usize][to as usize] = true;
    }
    for middle in 0..count {
        for from in 0..count {
            for to in 0..count {
                reach[from][to] |= reach[from][middle] && reach[middle][to];
            }
        }
    }
    reach
}

/// How many steps it takes to come back to `node`, by spreading out one edge at a time.
fn fewest_steps_back_to(node: NodeIndex, edges: &[(NodeIndex, NodeIndex)]) -> usize {
    let mut reached = BTreeSet::from([node]);
    for steps in 1.. {
        let over = edges.iter().filter(|edge| reached.contains(&edge.0));
        reached = over.map(|edge| edge.1).collect();
        if reached.contains(&node) {
            return steps;
        }
        assert!(
            !reached.is_empty() && steps <= edges.len(),
            "{node} is on no cycle"
        );
    }
    unreachable!("the loop has no end of its own");
}

proptest! {
    #[test]
    fn a_graph_is_refused_exactly_when_a_node_can_reach_itself((count, edges) in any_graph(12)) {
        let reach = reachable(count, &edges);
        let is_cyclic = (0..count).any(|node| reach[node][node]);
        let built = TaskDag::from_edges(count, &edges);
        prop_assert_eq!(built.is_err(), is_cyclic);
    }

    #[test]
    fn the_path_is_a_simple_cycle_of_given_edges((count, edges) in any_graph(20)) {
        let Err(error) = TaskDag::from_edges(count, &edges) else {
            return Ok(());
        };
        let GraphError::Cycle { path } = error.clone() else {
            panic!("unexpected {error}");
        };
        prop_assert!(path.len() >= 2);
        prop_assert_eq!(path.first(), path.last());
        for step in path.windows(2) {
            prop_assert!(edges.contains(&(step[0], step[1])));
        }
        let mut once = path[1..].to_vec();
        once.sort_unstable();
        prop_assert_eq!(Some(&path[0]), once.first());
        once.dedup();
        prop_assert_eq!(once.len(), path.len() - 1);

        let mut reversed = edges;
        reversed.reverse();
        prop_assert_eq!(TaskDag::from_edges(count, &reversed).unwrap_err(), error);
    }

    #[test]
    fn no_shorter_cycle_leads_through_one_of_its_nodes((count, edges) in any_graph(14)) {
        let Err(GraphError::Cycle { path }) = TaskDag::from_edges(count, &edges) else {
            return Ok(());
        };
        let shortest = |&node: &NodeIndex| fewest_steps_back_to(node, &edges);
        prop_assert!(path.iter().any(|node| shortest(node) == path.len() - 1));
    }
}
