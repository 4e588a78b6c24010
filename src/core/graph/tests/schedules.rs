use proptest::collection::vec;
use proptest::prelude::*;

use super::random::{built, dag, dag_with_seconds, nodes};
use crate::core::graph::{GraphError, Schedule, Slot, TaskDag};

fn simulated(dag: &TaskDag, seconds: &[f64], workers: usize) -> Schedule {
    dag.simulate(seconds, workers).expect("valid durations")
}

#[test]
fn an_empty_graph_has_an_empty_schedule() {
    let schedule = simulated(&built(0, &[]), &[], 3);
    assert!(schedule.slots.is_empty());
    assert!(schedule.makespan.abs() < f64::EPSILON);
}

#[test]
fn no_workers_are_refused() {
    let error = built(1, &[]).simulate(&[1.0], 0);
    assert_eq!(error, Err(GraphError::NoWorkers));
}

#[test]
fn the_longest_remaining_path_goes_first_to_the_lowest_idle_worker() {
    // 0 is short but 3 hangs from it; 1 and 2 are equal and go by topological position.
    let dag = built(4, &[(0, 3)]);
    let schedule = simulated(&dag, &[1.0, 2.0, 2.0, 4.0], 2);
    let slot = |node, worker, start, end| Slot {
        node,
        worker,
        start,
        end,
    };
    let expected = [
        slot(0, 0, 0.0, 1.0),
        slot(1, 1, 0.0, 2.0),
        slot(3, 0, 1.0, 5.0),
        slot(2, 1, 2.0, 4.0),
    ];
    assert_eq!(schedule.slots, expected);
    assert!((schedule.makespan - 5.0).abs() < f64::EPSILON);
}

#[test]
fn more_workers_than_nodes_cost_nothing_and_stay_unused() {
    let schedule = simulated(&built(3, &[]), &[1.0; 3], usize::MAX);
    let workers: Vec<u32> = schedule.slots.iter().map(|slot| slot.worker).collect();
    assert_eq!(workers, [0, 1, 2]);
}

#[test]
fn negative_zero_is_a_duration_of_nothing() {
    let dag = built(3, &[(0, 1)]);
    let schedule = simulated(&dag, &[-0.0, -0.0, 1.0], 1);
    let order: Vec<u32> = schedule.slots.iter().map(|slot| slot.node).collect();
    assert_eq!(order, [2, 0, 1]);
}

/// What happens at one time of the schedule, replayed by the rule alone.
fn check_choice(dag: &TaskDag, remaining: &[f64], slots: &[Slot], at: usize, workers: u32) {
    let chosen = slots[at];
    let earlier = &slots[..at];
    let end_of = |node| slots.iter().find(|slot| slot.node == node).map(|s| s.end);
    let is_ready = |node: u32| {
        let ended = |&before: &u32| end_of(before).is_some_and(|end| end <= chosen.start);
        earlier.iter().all(|slot| slot.node != node) && dag.predecessors(node).iter().all(ended)
    };
    let best = nodes(dag).filter(|&node| is_ready(node)).min_by(|&a, &b| {
        let by_path = remaining[b as usize].total_cmp(&remaining[a as usize]);
        by_path.then(dag.position(a).cmp(&dag.position(b)))
    });
    assert_eq!(Some(chosen.node), best);
    let is_idle = |worker: &u32| {
        let busy = |slot: &Slot| slot.worker == *worker && slot.end > chosen.start;
        !earlier.iter().any(busy)
    };
    assert_eq!(Some(chosen.worker), (0..workers).find(is_idle));
}

proptest! {
    // Durations of at least one second: at any time, what has ended is then unambiguous.
    #[test]
    fn each_start_is_what_the_priority_rule_asks_for(
        (dag, seconds) in dag_with_seconds(14, 1),
        workers in 1_usize..6,
    ) {
        let schedule = simulated(&dag, &seconds, workers);
        let remaining = dag.remaining_path(&seconds).unwrap();
        for at in 0..schedule.slots.len() {
            check_choice(&dag, &remaining, &schedule.slots, at, workers as u32);
        }
    }

    #[test]
    fn every_node_runs_once_for_its_duration_after_its_predecessors(
        (dag, seconds) in dag_with_seconds(25, 0),
        workers in 1_usize..30,
    ) {
        let schedule = simulated(&dag, &seconds, workers);
        let mut slot_of = vec![None; dag.node_count()];
        for slot in &schedule.slots {
            prop_assert_eq!(slot_of[slot.node as usize].replace(*slot), None);
            prop_assert!((slot.worker as usize) < workers);
            let expected_end = slot.start + seconds[slot.node as usize];
            prop_assert_eq!(slot.end.to_bits(), expected_end.to_bits());
        }
        prop_assert_eq!(schedule.slots.len(), dag.node_count());
        prop_assert!(schedule.slots.is_sorted_by_key(|slot| slot.start.to_bits()));
        for slot in &schedule.slots {
            for &before in dag.predecessors(slot.node) {
                prop_assert!(slot_of[before as usize].is_some_and(|b| b.end <= slot.start));
            }
        }
        let last_end = schedule.slots.iter().map(|slot| slot.end).fold(0.0, f64::max);
        prop_assert_eq!(schedule.makespan.to_bits(), last_end.to_bits());
    }

    #[test]
    fn no_worker_runs_two_nodes_at_once(
        (dag, seconds) in dag_with_seconds(25, 0),
        workers in 1_usize..8,
    ) {
        let schedule = simulated(&dag, &seconds, workers);
        let mut free_from = vec![0.0; workers];
        for slot in &schedule.slots {
            let free_from = &mut free_from[slot.worker as usize];
            prop_assert!(slot.start >= *free_from);
            *free_from = slot.end;
        }
    }

    #[test]
    fn no_worker_idles_while_a_node_is_ready(
        (dag, seconds) in dag_with_seconds(25, 0),
        workers in 1_usize..8,
    ) {
        let slots = simulated(&dag, &seconds, workers).slots;
        let times: Vec<f64> = slots.iter().flat_map(|slot| [slot.start, slot.end]).collect();
        let busy_at = |time: f64| {
            slots.iter().filter(|slot| slot.start <= time && time < slot.end).count()
        };
        for slot in &slots {
            let before = dag.predecessors(slot.node);
            let ends = slots.iter().filter(|s| before.contains(&s.node)).map(|s| s.end);
            let ready = ends.fold(0.0, f64::max);
            // Who is busy changes only at starts and ends, and `ready` is one of them or 0.
            for &time in times.iter().chain([&0.0]) {
                if ready <= time && time < slot.start {
                    prop_assert_eq!(busy_at(time), workers);
                }
            }
        }
    }

    #[test]
    fn the_makespan_lies_between_the_bounds_of_list_scheduling(
        (dag, seconds) in dag_with_seconds(25, 0),
        workers in 1_usize..8,
    ) {
        let makespan = simulated(&dag, &seconds, workers).makespan;
        let critical = dag.critical_path(&seconds).unwrap().length;
        let share = seconds.iter().sum::<f64>() / workers as f64;
        prop_assert!(makespan >= critical.max(share) - 1e-9);
        prop_assert!(makespan <= share + critical + 1e-9);
    }

    #[test]
    fn one_worker_takes_the_sum_and_one_a_node_the_critical_path(
        (dag, seconds) in dag_with_seconds(25, 0),
    ) {
        let one = simulated(&dag, &seconds, 1).makespan;
        prop_assert_eq!(one.to_bits(), (seconds.iter().sum::<f64>() + 0.0).to_bits());
        let all = simulated(&dag, &seconds, dag.node_count() + 1).makespan;
        let critical = dag.critical_path(&seconds).unwrap().length;
        prop_assert_eq!(all.to_bits(), critical.to_bits());
    }

    #[test]
    fn fractions_of_seconds_schedule_within_the_bounds_too(
        (dag, seconds) in dag(25).prop_flat_map(|dag| {
            let seconds = vec(prop_oneof![Just(0.0), 0.0..1.0e3_f64], dag.node_count());
            (Just(dag), seconds)
        }),
        workers in 1_usize..8,
    ) {
        let makespan = simulated(&dag, &seconds, workers).makespan;
        let critical = dag.critical_path(&seconds).unwrap().length;
        let share = seconds.iter().sum::<f64>() / workers as f64;
        let rounding = 1e-9 * (share + critical);
        prop_assert!(makespan >= critical.max(share) - rounding);
        prop_assert!(makespan <= share + critical + rounding);
    }
}
