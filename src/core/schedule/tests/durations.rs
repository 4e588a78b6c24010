use std::sync::Arc;

use crate::core::schedule::{
    BLOCKING_SECONDS, LearnedDurations, Outcome, Run, RunSettings, Take, Taker,
};

use super::{built, learned};

#[test]
fn nothing_is_known_at_first() {
    let durations = LearnedDurations::new(2);
    assert_eq!(durations.get(0), None);
    assert_eq!(durations.all(), [0.0, 0.0]);
    assert!(!durations.is_blocking(1));
    assert!(!durations.has_blocking());
    assert!(durations.priorities().is_empty());
}

#[test]
fn each_observation_counts_half_of_what_is_known_from_then_on() {
    let durations = LearnedDurations::new(2);
    durations.observe(1, 1.0);
    assert_eq!(durations.get(1), Some(1.0));
    durations.observe(1, 2.0);
    assert_eq!(durations.get(1), Some(1.5));
    durations.observe(1, 0.5);
    assert_eq!(durations.get(1), Some(1.0));
    assert_eq!(durations.get(0), None);
    assert_eq!(durations.all(), [0.0, 1.0]);
}

#[test]
fn an_observed_zero_differs_from_nothing_known() {
    let durations = LearnedDurations::new(1);
    durations.observe(0, 0.0);
    assert_eq!(durations.get(0), Some(0.0));
    durations.observe(0, 1.0);
    assert_eq!(durations.get(0), Some(0.5));
}

#[test]
fn a_node_blocks_from_the_threshold_on() {
    let durations = LearnedDurations::new(2);
    durations.observe(0, BLOCKING_SECONDS);
    durations.observe(1, BLOCKING_SECONDS * 0.99);
    assert!(durations.is_blocking(0));
    assert!(!durations.is_blocking(1));
}

#[test]
fn what_was_observed_matters_to_the_graph_after_a_refresh() {
    let dag = built(3, &[(0, 1), (0, 2)]);
    let durations = LearnedDurations::new(3);
    durations.observe(1, 0.25);
    durations.observe(2, 1.0);
    assert!(!durations.has_blocking());
    durations.refresh(&dag);
    assert!(durations.has_blocking());
    assert_eq!(*durations.priorities(), [1.0, 0.25, 1.0]);
    for _ in 0..20 {
        durations.observe(1, 0.0);
        durations.observe(2, 0.0);
    }
    durations.refresh(&dag);
    assert!(!durations.has_blocking());
    assert!(
        durations
            .priorities()
            .iter()
            .all(|&path| path < BLOCKING_SECONDS)
    );
}

#[test]
fn priorities_of_a_run_stay_as_they_were_at_its_start() {
    let dag = built(2, &[]);
    let durations = learned(&dag, &[Some(1.0), Some(0.5)]);
    let settings = RunSettings {
        limit: 2,
        pinned: Arc::from([]),
        durations: Arc::clone(&durations),
    };
    let run = Run::new(Arc::clone(&dag), settings);
    for _ in 0..9 {
        durations.observe(1, 8.0);
    }
    durations.refresh(&dag);
    run.hand_over_at_rest();
    assert_eq!(run.take(Taker::Worker), Take::Node(0));
}

#[test]
fn a_duration_that_is_no_number_of_seconds_leaves_priorities_as_they_were() {
    let dag = built(2, &[]);
    let durations = learned(&dag, &[Some(1.0), Some(0.5)]);
    durations.observe(0, f32::INFINITY);
    durations.refresh(&dag);
    assert_eq!(*durations.priorities(), [1.0, 0.5]);
}

#[test]
fn a_run_teaches_what_its_nodes_took() {
    let dag = built(2, &[]);
    let durations = learned(&dag, &[None, None]);
    let settings = RunSettings {
        limit: 2,
        pinned: Arc::from([]),
        durations: Arc::clone(&durations),
    };
    let run = Run::new(dag, settings);
    run.hand_over();
    run.finish(0, Outcome::Done, 0.75);
    assert_eq!(durations.get(0), Some(0.75));
    assert_eq!(run.durations().get(1), None);
}
