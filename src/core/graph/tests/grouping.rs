use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::random::{built, dag, nodes};
use crate::core::graph::{GraphError, Group, GroupingTerms, NodeCost, NodeIndex, TaskDag};

const TERMS: GroupingTerms = GroupingTerms {
    overhead: 0.001,
    slots: 2,
};

fn costs(seconds: f64, count: usize) -> Vec<NodeCost> {
    let cost = NodeCost {
        seconds: Some(seconds),
        kind: 0,
    };
    vec![cost; count]
}

fn unmeasured(count: usize) -> Vec<NodeCost> {
    let cost = NodeCost {
        seconds: None,
        kind: 0,
    };
    vec![cost; count]
}

fn members(dag: &TaskDag, costs: &[NodeCost], terms: &GroupingTerms) -> Vec<Vec<NodeIndex>> {
    let groups = dag.grouped(costs, terms).expect("valid costs");
    groups.into_iter().map(|group| group.members).collect()
}

/// Layers of `width`, each node waiting for two of the layer above.
fn layered(depth: u32, width: u32) -> TaskDag {
    let edges: Vec<(u32, u32)> = (1..depth)
        .flat_map(|layer| {
            (0..width).flat_map(move |place| {
                let node = layer * width + place;
                let above = (layer - 1) * width;
                [(above + place, node), (above + (place + 1) % width, node)]
            })
        })
        .collect();
    built((depth * width) as usize, &edges)
}

#[test]
fn a_graph_without_nodes_has_no_groups() {
    assert_eq!(built(0, &[]).grouped(&[], &TERMS), Ok(vec![]));
}

#[test]
fn a_chain_is_one_group_however_long_its_nodes_take() {
    let dag = built(4, &[(0, 1), (1, 2), (2, 3)]);
    assert_eq!(members(&dag, &costs(100.0, 4), &TERMS), [[0, 1, 2, 3]]);
    assert_eq!(members(&dag, &unmeasured(4), &TERMS), [[0, 1, 2, 3]]);
}

#[test]
fn a_chain_is_parted_where_its_kind_changes() {
    let dag = built(3, &[(0, 1), (1, 2)]);
    let mut of_kinds = costs(1.0, 3);
    of_kinds[2].kind = 7;
    assert_eq!(members(&dag, &of_kinds, &TERMS), [vec![0, 1], vec![2]]);
}

#[test]
fn a_graph_of_nodes_that_take_next_to_nothing_is_one_group() {
    let dag = layered(10, 100);
    let groups = members(&dag, &costs(1e-6, 1000), &TERMS);
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].len(), 1000);
}

#[test]
fn long_nodes_that_can_run_at_the_same_time_go_alone() {
    let dag = layered(3, 8);
    let groups = members(&dag, &costs(0.1, 24), &TERMS);
    assert_eq!(groups.len(), 24);
}

#[test]
fn short_nodes_of_a_level_are_spread_over_the_slots() {
    let dag = layered(2, 100);
    // 100 ms a level, of which a group holds 50 ms.
    let groups = members(&dag, &costs(0.001, 200), &TERMS);
    let sizes: Vec<usize> = groups.iter().map(Vec::len).collect();
    assert_eq!(sizes, [50; 4]);
}

#[test]
fn no_more_groups_than_pay_for_their_messages_are_made_for_many_slots() {
    let dag = layered(1, 100);
    let terms = GroupingTerms {
        slots: 1000,
        ..TERMS
    };
    assert_eq!(members(&dag, &costs(0.001, 100), &terms).len(), 10);
}

#[test]
fn long_and_short_nodes_of_a_level_are_told_apart() {
    let dag = built(5, &[]);
    let mut mixed = costs(0.001, 5);
    mixed[2].seconds = Some(3.0);
    let mut groups = members(&dag, &mixed, &TERMS);
    groups.sort();
    assert_eq!(groups, [vec![0, 1, 3, 4], vec![2]]);
}

#[test]
fn nodes_that_were_never_measured_are_spread_over_all_slots_and_more() {
    let dag = layered(1, 1000);
    assert_eq!(members(&dag, &unmeasured(1000), &TERMS).len(), 8);
    assert_eq!(members(&layered(1, 3), &unmeasured(3), &TERMS).len(), 3);
}

#[test]
fn groups_know_what_they_wait_for_and_what_is_waited_for() {
    // A diamond with long sides.
    let dag = built(4, &[(0, 1), (0, 2), (1, 3), (2, 3)]);
    let groups = dag.grouped(&costs(1.0, 4), &TERMS).expect("valid costs");
    let group = |members: &[u32], inputs: &[u32], exports: &[u32]| Group {
        members: members.to_vec(),
        inputs: inputs.to_vec(),
        exports: exports.to_vec(),
    };
    let expected = [
        group(&[0], &[], &[0]),
        group(&[1], &[0], &[1]),
        group(&[2], &[0], &[2]),
        group(&[3], &[1, 2], &[]),
    ];
    assert_eq!(groups, expected);
}

#[test]
fn durations_beyond_all_measure_are_grouped_too() {
    let dag = layered(1, 10);
    let groups = members(&dag, &costs(1e300, 10), &TERMS);
    assert_eq!(groups.len(), 10);
    let overhead = 1e-300;
    let terms = GroupingTerms { overhead, ..TERMS };
    assert_eq!(members(&dag, &costs(1.0, 10), &terms).len(), 10);
    let many = vec![costs(49.0, 1)[0]; 10];
    let terms = GroupingTerms {
        overhead: 1.0,
        slots: usize::MAX,
    };
    assert_eq!(members(&dag, &many, &terms).len(), 10);
}

#[test]
fn impossible_costs_and_no_slots_are_refused() {
    let dag = built(2, &[]);
    let wrong = dag.grouped(&costs(f64::NAN, 2), &TERMS);
    assert!(matches!(
        wrong,
        Err(GraphError::InvalidDuration { node: 0, .. })
    ));
    let few = dag.grouped(&costs(1.0, 1), &TERMS);
    assert!(matches!(few, Err(GraphError::DurationCount { .. })));
    let none = GroupingTerms { slots: 0, ..TERMS };
    assert_eq!(
        dag.grouped(&costs(1.0, 2), &none),
        Err(GraphError::NoWorkers)
    );
}

fn with_costs() -> impl Strategy<Value = (TaskDag, Vec<NodeCost>, GroupingTerms)> {
    dag(40).prop_flat_map(|dag| {
        let seconds = option::weighted(
            0.8,
            (0_u8..4).prop_map(|power| 10_f64.powi(i32::from(power) - 4)),
        );
        let cost = (seconds, 0_u32..2).prop_map(|(seconds, kind)| NodeCost { seconds, kind });
        let costs = vec(cost, dag.node_count());
        let terms = (0_u8..3, 1_usize..9).prop_map(|(thousandths, slots)| GroupingTerms {
            overhead: f64::from(thousandths) / 1000.0,
            slots,
        });
        (Just(dag), costs, terms)
    })
}

proptest! {
    #[test]
    fn every_node_is_in_one_group_of_its_kind((dag, costs, terms) in with_costs()) {
        let groups = members(&dag, &costs, &terms);
        let mut seen: Vec<NodeIndex> = groups.iter().flatten().copied().collect();
        seen.sort_unstable();
        prop_assert_eq!(seen, nodes(&dag).collect::<Vec<_>>());
        for group in groups {
            prop_assert!(group.is_sorted_by_key(|&node| dag.position(node)));
            prop_assert!(group.iter().all(|&node| costs[node as usize].kind == costs[group[0] as usize].kind));
        }
    }

    #[test]
    fn every_group_comes_after_those_that_it_waits_for((dag, costs, terms) in with_costs()) {
        let groups = dag.grouped(&costs, &terms).expect("valid costs");
        let mut group_of = vec![0; dag.node_count()];
        for (number, group) in groups.iter().enumerate() {
            for &node in &group.members {
                group_of[node as usize] = number;
            }
        }
        for (number, group) in groups.iter().enumerate() {
            let mut inputs: Vec<NodeIndex> = group.members.iter()
                .flat_map(|&node| dag.predecessors(node))
                .copied()
                .filter(|&before| group_of[before as usize] != number)
                .collect();
            prop_assert!(inputs.iter().all(|&before| group_of[before as usize] < number));
            inputs.sort_by_key(|&node| dag.position(node));
            inputs.dedup();
            prop_assert_eq!(&group.inputs, &inputs);
            let exports: Vec<NodeIndex> = group.members.iter()
                .copied()
                .filter(|&node| dag.successors(node).iter().any(|&next| group_of[next as usize] != number))
                .collect();
            prop_assert_eq!(&group.exports, &exports);
        }
    }

    #[test]
    fn measured_nodes_that_are_long_share_a_group_only_along_a_path((dag, costs, terms) in with_costs()) {
        let alone = 50.0 * terms.overhead;
        for group in members(&dag, &costs, &terms) {
            let long: Vec<NodeIndex> = group.iter()
                .copied()
                .filter(|&node| costs[node as usize].seconds.is_some_and(|seconds| seconds >= alone))
                .collect();
            if terms.overhead <= 0.0 || long.len() != group.len() {
                continue;
            }
            for pair in long.windows(2) {
                prop_assert!(dag.successors(pair[0]).contains(&pair[1]));
            }
        }
    }
}
