//! The stepper beside a model of `graphlib.TopologicalSorter`.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::core::graph::TaskDag;
use crate::core::schedule::{StepError, Stepper};

use super::{built, random};

/// `graphlib`'s rules, word for word: which nodes were passed out, and which
/// of those are finished.
struct Sorter {
    dag: Arc<TaskDag>,
    passed_out: BTreeSet<u32>,
    finished: BTreeSet<u32>,
}

impl Sorter {
    fn ready(&self) -> Vec<u32> {
        let nodes = 0..self.dag.node_count() as u32;
        let is_ready = |node: &u32| {
            let mut before = self.dag.predecessors(*node).iter();
            !self.passed_out.contains(node) && before.all(|other| self.finished.contains(other))
        };
        nodes.filter(is_ready).collect()
    }

    fn done(&mut self, node: u32) -> Result<(), StepError> {
        if self.finished.contains(&node) {
            return Err(StepError::AlreadyDone);
        }
        if !self.passed_out.contains(&node) {
            return Err(StepError::NotHandedOut);
        }
        self.finished.insert(node);
        Ok(())
    }

    fn is_active(&self) -> bool {
        self.finished.len() < self.passed_out.len() || !self.ready().is_empty()
    }
}

proptest! {
    #[test]
    fn the_stepper_agrees_with_graphlib_at_every_step(
        (dag, steps) in random::dag(12).prop_flat_map(|dag| {
            // Most nodes that are said to be done may be, some may not.
            let step = prop_oneof![
                1 => Just(None),
                4 => (0..dag.node_count().max(1) as u32).prop_map(Some),
            ];
            (Just(dag), vec(step, 0..80))
        })
    ) {
        let mut stepper = Stepper::new(Arc::clone(&dag));
        let (passed_out, finished) = (BTreeSet::new(), BTreeSet::new());
        let mut sorter = Sorter { dag: Arc::clone(&dag), passed_out, finished };
        for step in steps {
            prop_assert_eq!(stepper.is_active(), sorter.is_active());
            match step {
                Some(node) if (node as usize) < dag.node_count() => {
                    let expected = sorter.done(node);
                    prop_assert_eq!(stepper.check(node), expected);
                    prop_assert_eq!(stepper.done(node), expected);
                }
                _ => {
                    let ready = sorter.ready();
                    prop_assert_eq!(stepper.get_ready(), ready.clone());
                    sorter.passed_out.extend(ready);
                }
            }
        }
    }

    #[test]
    fn stepping_to_the_end_hands_out_every_node_once(dag in random::dag(40)) {
        let mut stepper = Stepper::new(Arc::clone(&dag));
        let mut order = Vec::new();
        while stepper.is_active() {
            let ready = stepper.get_ready();
            prop_assert!(!ready.is_empty(), "active, but nothing to do");
            for &node in &ready {
                prop_assert_eq!(stepper.done(node), Ok(()));
            }
            order.extend(ready);
        }
        let once: BTreeSet<u32> = order.iter().copied().collect();
        prop_assert_eq!(order.len(), dag.node_count());
        prop_assert_eq!(once.len(), dag.node_count());
        prop_assert_eq!(stepper.get_ready(), Vec::<u32>::new());
    }
}

#[test]
fn a_node_is_done_only_between_being_handed_out_and_being_done() {
    let mut stepper = Stepper::new(built(2, &[(0, 1)]));
    assert_eq!(stepper.done(0), Err(StepError::NotHandedOut));
    assert_eq!(stepper.get_ready(), [0]);
    assert_eq!(stepper.get_ready(), []);
    assert_eq!(stepper.done(1), Err(StepError::NotHandedOut));
    assert_eq!(stepper.done(0), Ok(()));
    assert_eq!(stepper.done(0), Err(StepError::AlreadyDone));
    assert_eq!(stepper.done(1), Err(StepError::NotHandedOut));
    assert_eq!(stepper.get_ready(), [1]);
    assert!(stepper.is_active());
    assert_eq!(stepper.done(1), Ok(()));
    assert!(!stepper.is_active());
}

#[test]
fn a_refused_node_changes_nothing() {
    let mut stepper = Stepper::new(built(3, &[(0, 2), (1, 2)]));
    assert_eq!(stepper.get_ready(), [0, 1]);
    assert_eq!(stepper.done(0), Ok(()));
    assert_eq!(stepper.done(0), Err(StepError::AlreadyDone));
    assert_eq!(stepper.get_ready(), [], "1 is not done yet");
    assert_eq!(stepper.done(1), Ok(()));
    assert_eq!(stepper.get_ready(), [2]);
}

#[test]
fn an_empty_graph_is_never_active() {
    let mut stepper = Stepper::new(built(0, &[]));
    assert!(!stepper.is_active());
    assert_eq!(stepper.get_ready(), []);
}
