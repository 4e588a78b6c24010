use proptest::collection::vec;
use proptest::prelude::*;

use super::random::{built, dag, dag_with_seconds, nodes};
use crate::core::graph::{CriticalPath, GraphError, NodeIndex, RejectedDuration, TaskDag};

#[test]
fn the_critical_path_of_an_empty_graph_is_empty() {
    let path = built(0, &[]).critical_path(&[]).unwrap();
    assert_eq!(path.nodes, []);
    assert!(path.length.abs() < f64::EPSILON);
}

#[test]
fn the_critical_path_takes_the_slower_branch() {
    let dag = built(4, &[(0, 1), (0, 2), (1, 3), (2, 3)]);
    let seconds = [1.0, 2.0, 5.0, 0.5];
    let expected = CriticalPath {
        nodes: vec![0, 2, 3],
        length: 6.5,
    };
    assert_eq!(dag.critical_path(&seconds).unwrap(), expected);
    assert_eq!(dag.remaining_path(&seconds).unwrap(), [6.5, 2.5, 5.5, 0.5]);
    assert_eq!(dag.slack(&seconds).unwrap(), [0.0, 3.0, 0.0, 0.0]);
    let timing = dag.timing(&seconds).unwrap();
    assert_eq!(timing.earliest_start, [0.0, 1.0, 1.0, 6.0]);
    assert_eq!(timing.latest_start, [0.0, 4.0, 1.0, 6.0]);
}

#[test]
fn of_equally_long_paths_the_first_in_topological_order_is_named() {
    // The order is 2, 3, 1, 4, 0: of the sources 2, 3 and 4 the last two start equal paths.
    let dag = built(5, &[(4, 0), (3, 1)]);
    let path = dag.critical_path(&[1.0; 5]).unwrap();
    assert_eq!(path.nodes, [3, 1]);
}

#[test]
fn durations_that_are_not_times_are_refused_with_node_and_value() {
    let dag = built(2, &[(0, 1)]);
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.5] {
        let expected = GraphError::InvalidDuration {
            node: 1,
            seconds: RejectedDuration(value),
        };
        let seconds = [1.0, value];
        assert_eq!(dag.critical_path(&seconds).unwrap_err(), expected);
        assert_eq!(dag.remaining_path(&seconds).unwrap_err(), expected);
        assert_eq!(dag.slack(&seconds).unwrap_err(), expected);
        assert_eq!(dag.timing(&seconds).unwrap_err(), expected);
        assert_eq!(dag.simulate(&seconds, 1).unwrap_err(), expected);
    }
    let message = dag.slack(&[1.0, -0.5]).unwrap_err().to_string();
    assert!(message.contains("node 1 is -0.5 s"), "{message}");
}

#[test]
fn one_duration_a_node_is_asked_for() {
    let dag = built(2, &[]);
    for given in [0, 1, 3] {
        let error = dag.critical_path(&vec![1.0; given]).unwrap_err();
        let expected = GraphError::DurationCount { expected: 2, given };
        assert_eq!(error, expected);
    }
}

#[test]
fn durations_whose_sum_is_not_finite_are_refused() {
    let error = built(2, &[]).simulate(&[f64::MAX, f64::MAX], 1);
    assert_eq!(error, Err(GraphError::DurationOverflow));
}

/// The longest path from each node's start by trying every path.
fn longest_by_trying(dag: &TaskDag, seconds: &[f64], node: NodeIndex) -> f64 {
    let behind = dag.successors(node).iter();
    let longest = behind.map(|&next| longest_by_trying(dag, seconds, next));
    seconds[node as usize] + longest.fold(0.0, f64::max)
}

fn is_same(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

proptest! {
    #[test]
    fn remaining_and_critical_path_equal_brute_force(
        (dag, seconds) in dag_with_seconds(12, 0),
    ) {
        let tried: Vec<f64> =
            nodes(&dag).map(|node| longest_by_trying(&dag, &seconds, node)).collect();
        let path = dag.critical_path(&seconds).unwrap();
        prop_assert_eq!(path.length.to_bits(), tried.iter().copied().fold(0.0, f64::max).to_bits());
        prop_assert_eq!(dag.remaining_path(&seconds).unwrap(), tried);
    }

    #[test]
    fn the_critical_path_leads_from_a_source_to_a_sink_and_sums_to_its_length(
        (dag, seconds) in dag_with_seconds(25, 0),
    ) {
        let path = dag.critical_path(&seconds).unwrap();
        let sum: f64 = path.nodes.iter().map(|&node| seconds[node as usize]).sum();
        prop_assert!(is_same(path.length, sum));
        prop_assert_eq!(path.nodes.is_empty(), dag.node_count() == 0);
        for step in path.nodes.windows(2) {
            prop_assert!(dag.successors(step[0]).contains(&step[1]));
        }
        if let (Some(&first), Some(&last)) = (path.nodes.first(), path.nodes.last()) {
            prop_assert_eq!((dag.in_degree(first), dag.out_degree(last)), (0, 0));
        }
    }

    #[test]
    fn a_node_that_is_late_by_more_than_its_slack_makes_the_graph_longer(
        (dag, seconds) in dag_with_seconds(15, 0),
    ) {
        let length = dag.critical_path(&seconds).unwrap().length;
        let slack = dag.slack(&seconds).unwrap();
        for node in 0..dag.node_count() {
            let mut late = seconds.clone();
            late[node] += slack[node];
            prop_assert!(is_same(dag.critical_path(&late).unwrap().length, length));
            late[node] += 1.0;
            prop_assert!(is_same(dag.critical_path(&late).unwrap().length, length + 1.0));
        }
    }

    #[test]
    fn starts_keep_precedence_and_the_critical_path_has_no_slack_in_spite_of_rounding(
        (dag, seconds) in dag(40).prop_flat_map(|dag| {
            let seconds = vec(0.0..1.0e3_f64, dag.node_count());
            (Just(dag), seconds)
        }),
    ) {
        let path = dag.critical_path(&seconds).unwrap();
        let timing = dag.timing(&seconds).unwrap();
        for &node in &path.nodes {
            prop_assert!(timing.slack[node as usize].abs() < f64::MIN_POSITIVE);
        }
        for node in nodes(&dag) {
            let at = node as usize;
            prop_assert!(timing.slack[at] >= 0.0);
            prop_assert!(timing.latest_start[at] >= timing.earliest_start[at]);
            for &next in dag.successors(node) {
                let next = next as usize;
                prop_assert!(timing.earliest_start[next] >= timing.earliest_start[at] + seconds[at]);
                let end = timing.latest_start[at] + seconds[at];
                let start = timing.latest_start[next];
                prop_assert!(start >= end || is_same(start, end));
            }
        }
    }
}
