//! What holds for every graph, every number of threads and every timing.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::core::schedule::Take;

use super::harness::{HandOver, Report, Setup, drive};
use super::random;

const LARGEST: usize = 24;

fn setups() -> impl Strategy<Value = Setup> {
    random::dag(LARGEST).prop_flat_map(|dag| {
        let count = dag.node_count();
        let moment = 0..=count as u32;
        let hand_over = prop_oneof![
            1 => Just(HandOver::Never),
            1 => moment.clone().prop_map(HandOver::AtRest),
            4 => moment.prop_map(HandOver::AfterStarts),
        ];
        let nodes = (
            random::some_nodes(count, 4),
            vec(0..3_u8, count),
            random::seconds(count),
        );
        (Just(dag), nodes, 1..5_usize, 0..4_usize, hand_over).prop_map(
            |(dag, (pinned, pace, seconds), limit, workers, hand_over)| Setup {
                failing: vec![false; dag.node_count()],
                dag,
                limit,
                pinned,
                pace,
                seconds,
                workers,
                hand_over,
                stop_after_starts: None,
                pause_after_starts: None,
                caller_runs: true,
            },
        )
    })
}

fn failing_setups() -> impl Strategy<Value = Setup> {
    setups().prop_flat_map(|setup| {
        random::some_nodes(setup.dag.node_count(), 5).prop_map(move |failing| Setup {
            failing,
            ..setup.clone()
        })
    })
}

fn assert_nodes_run_in_order_and_within_the_limit(setup: &Setup, report: &Report) {
    let mut ended = vec![None; setup.dag.node_count()];
    for span in &report.spans {
        let slot = &mut ended[span.node as usize];
        assert!(slot.is_none(), "node {} ran twice", span.node);
        *slot = Some(if span.failed { u64::MAX } else { span.ended });
    }
    for span in &report.spans {
        for &before in setup.dag.predecessors(span.node) {
            assert!(
                ended[before as usize].is_some_and(|ended| ended < span.started),
                "node {} started before {before} was done",
                span.node
            );
        }
        let together = report
            .spans
            .iter()
            .filter(|other| other.started <= span.started && span.started < other.ended);
        assert!(together.count() <= setup.limit, "more than the limit ran");
        assert!(
            span.on_caller || !setup.pinned[span.node as usize],
            "a worker ran the pinned node {}",
            span.node
        );
    }
    if setup.limit == 1 {
        let order: Vec<u32> = report.spans.iter().map(|span| span.node).collect();
        assert!(order.is_sorted(), "not in topological order: {order:?}");
    }
    assert_eq!(report.left, Take::Finished);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        // Milliseconds: each try takes the watchdog's time when a run hangs.
        max_shrink_time: 30_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_node_runs_once_after_its_predecessors_and_within_the_limit(setup in setups()) {
        let report = drive(setup.clone());
        assert_nodes_run_in_order_and_within_the_limit(&setup, &report);
        prop_assert_eq!(report.spans.len(), setup.dag.node_count());
    }

    #[test]
    fn the_failure_of_a_sequential_run_is_met_whatever_the_timing(setup in failing_setups()) {
        let report = drive(setup.clone());
        assert_nodes_run_in_order_and_within_the_limit(&setup, &report);
        let first = setup.failing.iter().position(|&fails| fails);
        let met = report.spans.iter().filter(|span| span.failed).map(|span| span.node).min();
        prop_assert_eq!(met, first.map(|node| node as u32));
        let due = first.map_or(setup.dag.node_count(), |first| first + 1);
        for node in 0..due as u32 {
            let ran = report.spans.iter().any(|span| span.node == node);
            prop_assert!(ran, "node {} comes before the failure but did not run", node);
        }
        for failed in report.spans.iter().filter(|span| span.failed) {
            for later in report.spans.iter().filter(|span| span.asked > failed.reported) {
                prop_assert!(
                    later.node < failed.node,
                    "node {} started after {} had failed", later.node, failed.node
                );
            }
        }
    }

    #[test]
    fn nothing_starts_after_a_stop(
        (setup, stop) in failing_setups().prop_flat_map(|setup| {
            let moment = 0..=setup.dag.node_count() as u32;
            (Just(setup), moment)
        })
    ) {
        let setup = Setup { stop_after_starts: Some(stop), ..setup };
        let report = drive(setup.clone());
        assert_nodes_run_in_order_and_within_the_limit(&setup, &report);
        let stopped = report.stopped.expect("the stopping thread has ended");
        for span in &report.spans {
            prop_assert!(span.asked < stopped, "node {} started after the stop", span.node);
        }
    }

    #[test]
    fn a_caller_that_only_waits_leaves_all_nodes_to_workers(
        (setup, workers, stop) in failing_setups().prop_flat_map(|setup| {
            let moment = 0..=setup.dag.node_count() as u32;
            (Just(setup), 1..4_usize, option::of(moment))
        })
    ) {
        let setup = Setup {
            caller_runs: false,
            pinned: vec![false; setup.dag.node_count()],
            hand_over: HandOver::Never,
            workers,
            stop_after_starts: stop,
            ..setup
        };
        let report = drive(setup.clone());
        assert_nodes_run_in_order_and_within_the_limit(&setup, &report);
        prop_assert!(report.spans.iter().all(|span| !span.on_caller));
        if stop.is_none() && !setup.failing.contains(&true) {
            prop_assert_eq!(report.spans.len(), setup.dag.node_count());
        }
    }
}
