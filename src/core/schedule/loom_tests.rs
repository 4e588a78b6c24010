//! All interleavings of small runs: a caller that begins alone, and threads
//! that hand its run over, help with it or stop it.
//!
//! A wait that nobody ends is a deadlock, which loom reports; the time limit of
//! a wait is not modelled, so a lost wake-up does not heal by itself.

use std::sync::Arc;
use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;

use crate::core::cache::{Agent, Ending, Flight};
use crate::core::graph::TaskDag;

use super::{Advance, LearnedDurations, Outcome, Run, RunSettings, Take, Taker};

/// Context switches at other places than waits; each more costs a magnitude.
const SWITCHES: usize = 3;

struct Plan {
    nodes: usize,
    edges: &'static [(u32, u32)],
    limit: usize,
    pinned: Option<u32>,
    failing: Option<u32>,
}

struct Model {
    run: Run,
    failing: Option<u32>,
    /// How often each node ran. loom fails when one is looked at without
    /// anything that orders this after the write.
    outputs: Vec<UnsafeCell<u32>>,
    stop_returned: AtomicBool,
}

// SAFETY: each output is written by the one thread that took its node and read
// after that node was reported done; loom checks that this is so.
unsafe impl Sync for Model {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Model {}

impl Plan {
    fn model(&self) -> Arc<Model> {
        let dag = TaskDag::from_edges(self.nodes, self.edges).expect("the edges are acyclic");
        let pinned = (0..self.nodes as u32).map(|node| self.pinned == Some(node));
        let settings = RunSettings {
            limit: self.limit,
            pinned: pinned.collect(),
            durations: Arc::new(LearnedDurations::new(self.nodes)),
        };
        Arc::new(Model {
            run: Run::new(Arc::new(dag), settings),
            failing: self.failing,
            outputs: (0..self.nodes).map(|_| UnsafeCell::new(0)).collect(),
            stop_returned: AtomicBool::new(false),
        })
    }
}

impl Model {
    fn execute(&self, node: u32) -> Outcome {
        for &before in self.run.dag().predecessors(node) {
            // SAFETY: loom checks the access.
            self.outputs[before as usize].with(|output| assert_eq!(unsafe { *output }, 1));
        }
        // SAFETY: loom checks the access.
        self.outputs[node as usize].with_mut(|output| unsafe { *output += 1 });
        if self.failing == Some(node) {
            Outcome::Failed
        } else {
            Outcome::Done
        }
    }

    fn execute_shared(&self, node: u32) {
        let outcome = self.execute(node);
        self.run.finish(node, outcome, 0.0);
    }

    /// Whether the run ended while the caller was alone.
    fn solo(&self) -> bool {
        for node in 0..self.run.dag().node_count() as u32 {
            let was_stopped = self.stop_returned.load(Ordering::Acquire);
            if self.run.is_stopped() {
                return self.run.close_solo(node) == Advance::Solo;
            }
            assert!(!was_stopped, "node {node} starts after the stop");
            if self.run.is_pinned(node) {
                self.run.hand_over_at_rest();
                return false;
            }
            let outcome = self.execute(node);
            let advance = if outcome == Outcome::Failed {
                self.run.close_solo(node)
            } else {
                self.run.advance(node)
            };
            if advance == Advance::HandedOver {
                self.run.finish(node, outcome, 0.0);
                return false;
            }
            if outcome == Outcome::Failed {
                return true;
            }
        }
        true
    }

    fn caller(&self) {
        if self.run.solo_position().is_some() && self.solo() {
            return;
        }
        loop {
            match self.run.take(Taker::Caller) {
                Take::Node(node) => self.execute_shared(node),
                Take::Wait => self.run.wait(true, Duration::from_secs(1)),
                Take::Finished => return,
            }
        }
    }

    /// Hands the run over and helps until nothing is ready.
    fn helper(&self) {
        self.run.hand_over();
        self.help();
    }

    fn help(&self) {
        loop {
            let was_stopped = self.stop_returned.load(Ordering::Acquire);
            match self.run.take(Taker::Worker) {
                Take::Node(node) => {
                    assert!(!was_stopped, "node {node} starts after the stop");
                    assert!(!self.run.is_pinned(node));
                    self.execute_shared(node);
                }
                Take::Wait | Take::Finished => return,
            }
        }
    }

    /// How often each node ran.
    fn runs(&self) -> Vec<u32> {
        // SAFETY: loom checks the access.
        let read = |output: &UnsafeCell<u32>| output.with(|output| unsafe { *output });
        self.outputs.iter().map(read).collect()
    }
}

/// Runs the caller beside a thread for each of `others`; `check` sees how often
/// each node ran, right when the caller is through.
fn explore(plan: &'static Plan, others: &'static [fn(&Model)], check: fn(&[u32])) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(SWITCHES);
    builder.check(move || {
        let model = plan.model();
        let threads: Vec<_> = others
            .iter()
            .map(|&other| {
                let model = Arc::clone(&model);
                thread::spawn(move || other(&model))
            })
            .collect();
        model.caller();
        check(&model.runs());
        for thread in threads {
            thread.join().expect("no thread of the model panics");
        }
        assert_eq!(model.runs().iter().copied().max().unwrap_or(0), 1);
    });
}

fn all_once(runs: &[u32]) {
    assert!(runs.iter().all(|&count| count == 1), "{runs:?}");
}

#[test]
fn every_node_runs_once_when_the_run_is_handed_over_at_any_moment() {
    static PLAN: Plan = Plan {
        nodes: 3,
        edges: &[(0, 2)],
        limit: 2,
        pinned: None,
        failing: None,
    };
    explore(&PLAN, &[Model::helper], all_once);
}

#[test]
fn two_helpers_and_the_caller_share_the_nodes() {
    static PLAN: Plan = Plan {
        nodes: 3,
        edges: &[],
        limit: 3,
        pinned: None,
        failing: None,
    };
    explore(&PLAN, &[Model::helper, Model::helper], all_once);
}

#[test]
fn a_caller_that_waits_for_a_helpers_node_is_woken() {
    static PLAN: Plan = Plan {
        nodes: 3,
        edges: &[(0, 2), (1, 2)],
        limit: 2,
        pinned: None,
        failing: None,
    };
    explore(&PLAN, &[Model::helper], all_once);
}

#[test]
fn one_at_a_time_each_node_sees_the_one_before() {
    static PLAN: Plan = Plan {
        nodes: 3,
        edges: &[(0, 1), (1, 2)],
        limit: 1,
        pinned: None,
        failing: None,
    };
    explore(&PLAN, &[Model::helper], all_once);
}

#[test]
fn a_pinned_node_is_the_callers_even_when_another_thread_hands_over() {
    static PLAN: Plan = Plan {
        nodes: 3,
        edges: &[(1, 2)],
        limit: 2,
        pinned: Some(1),
        failing: None,
    };
    explore(&PLAN, &[Model::helper], all_once);
}

#[test]
fn a_failure_during_the_hand_over_ends_the_run_and_earlier_nodes_still_run() {
    static PLAN: Plan = Plan {
        nodes: 3,
        edges: &[],
        limit: 3,
        pinned: None,
        failing: Some(1),
    };
    explore(&PLAN, &[Model::helper], |runs| {
        assert_eq!(runs[..2], [1, 1])
    });
}

#[test]
fn a_first_node_that_fails_during_the_hand_over_ends_the_run() {
    static PLAN: Plan = Plan {
        nodes: 3,
        edges: &[(0, 1)],
        limit: 2,
        pinned: None,
        failing: Some(0),
    };
    explore(&PLAN, &[Model::helper], |runs| {
        assert_eq!(runs[..2], [1, 0])
    });
}

#[test]
fn a_stop_during_the_hand_over_ends_the_run() {
    static PLAN: Plan = Plan {
        nodes: 2,
        edges: &[],
        limit: 2,
        pinned: None,
        failing: None,
    };
    fn stop(model: &Model) {
        model.run.stop();
        model.stop_returned.store(true, Ordering::Release);
    }
    // At least one node runs in most interleavings, but none has to.
    let mut builder = Builder::new();
    builder.preemption_bound = Some(SWITCHES);
    builder.check(|| {
        let model = PLAN.model();
        let spawn = |other: fn(&Model)| {
            let model = Arc::clone(&model);
            thread::spawn(move || other(&model))
        };
        let threads = [spawn(stop), spawn(Model::helper)];
        model.caller();
        assert!(model.runs().iter().all(|&count| count <= 1));
        for thread in threads {
            thread.join().expect("no thread of the model panics");
        }
        assert!(model.runs().iter().all(|&count| count <= 1));
        assert_eq!(model.run.take(Taker::Worker), Take::Finished);
    });
}

#[test]
fn a_caller_whose_run_is_paused_and_goes_on_is_woken() {
    static PLAN: Plan = Plan {
        nodes: 3,
        edges: &[(0, 2)],
        limit: 2,
        pinned: None,
        failing: None,
    };
    fn pause(model: &Model) {
        model.run.hand_over();
        model.run.set_paused(true);
        assert_eq!(model.run.outlook().ready, 0);
        model.run.set_paused(false);
    }
    explore(&PLAN, &[pause], all_once);
}

/// Whoever reports the last node that matters sees that it was the last.
#[test]
fn of_those_who_report_nodes_one_sees_that_the_run_is_settled() {
    static PLAN: Plan = Plan {
        nodes: 2,
        edges: &[],
        limit: 2,
        pinned: None,
        failing: Some(0),
    };
    let mut builder = Builder::new();
    builder.preemption_bound = Some(SWITCHES);
    builder.check(|| {
        let model = PLAN.model();
        model.run.hand_over_at_rest();
        let settled = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (model, settled) = (Arc::clone(&model), Arc::clone(&settled));
                thread::spawn(move || {
                    while let Take::Node(node) = model.run.take(Taker::Worker) {
                        let outcome = model.execute(node);
                        if model.run.finish_and_look(node, outcome, 0.0).settled {
                            settled.store(true, Ordering::Release);
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("no thread of the model panics");
        }
        assert!(settled.load(Ordering::Acquire));
        assert!(model.run.outlook().settled);
    });
}

/// A run that nobody's thread waits for, one of whose nodes waits for another run's
/// computation, without a thread; as the binding puts the parts together.
struct Served {
    model: Arc<Model>,
    /// What node 0 waits for.
    flight: Flight<(), u32>,
    /// Workers that are with the run.
    assigned: AtomicUsize,
}

impl Served {
    fn new(plan: &Plan, assigned: usize) -> Arc<Self> {
        let model = plan.model();
        model.run.hand_over_at_rest();
        Arc::new(Self {
            model,
            flight: Flight::new(Agent::here(0)),
            assigned: AtomicUsize::new(assigned),
        })
    }

    /// Whether the node is left to wait.
    fn is_parked(&self, node: u32) -> bool {
        node == 0 && self.flight.look(|_| ()).is_none() && self.flight.join(node).is_ok()
    }

    /// A worker's visits, until others see to the run or nothing is to be done.
    fn visit(&self) {
        loop {
            while let Take::Node(node) = self.model.run.take(Taker::Worker) {
                if !self.is_parked(node) {
                    self.model.execute_shared(node);
                }
            }
            self.assigned.fetch_sub(1, Ordering::AcqRel);
            if !self.brings_one() {
                return;
            }
        }
    }

    /// Whether a worker comes, because none is there and something is to be done.
    fn brings_one(&self) -> bool {
        let comes =
            self.model.run.outlook().ready > 0 && self.assigned.load(Ordering::Acquire) == 0;
        if comes {
            self.assigned.fetch_add(1, Ordering::AcqRel);
        }
        comes
    }

    /// The other run's node has ended.
    fn land(&self) {
        for node in self.flight.end(Ending::Value(())) {
            self.model.run.put_back(node);
            if self.brings_one() {
                self.visit();
            }
        }
    }
}

/// Runs workers beside whoever ends what node 0 waits for, and one more thread.
fn explore_served(plan: &'static Plan, workers: usize, other: fn(&Served), check: fn(&[u32])) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(SWITCHES);
    builder.check(move || {
        let served = Served::new(plan, workers);
        let spawn = |act: fn(&Served)| {
            let served = Arc::clone(&served);
            thread::spawn(move || act(&served))
        };
        let mut threads: Vec<_> = (0..workers).map(|_| spawn(Served::visit)).collect();
        threads.push(spawn(other));
        served.land();
        for thread in threads {
            thread.join().expect("no thread of the model panics");
        }
        let outlook = served.model.run.outlook();
        assert!(outlook.settled, "{outlook:?}");
        assert_eq!(outlook.running, 0);
        assert_eq!(served.model.run.take(Taker::Worker), Take::Finished);
        assert_eq!(served.assigned.load(Ordering::Acquire), 0);
        check(&served.model.runs());
    });
}

#[test]
fn a_parked_node_is_taken_up_again_whenever_it_is_put_back() {
    static PLAN: Plan = Plan {
        nodes: 3,
        edges: &[(0, 1)],
        limit: 2,
        pinned: None,
        failing: None,
    };
    explore_served(&PLAN, 1, |_| (), all_once);
}

#[test]
fn one_at_a_time_those_after_a_parked_node_wait_for_it() {
    static PLAN: Plan = Plan {
        nodes: 2,
        edges: &[(0, 1)],
        limit: 1,
        pinned: None,
        failing: None,
    };
    explore_served(&PLAN, 1, |_| (), all_once);
}

#[test]
fn two_workers_leave_no_parked_node_behind() {
    static PLAN: Plan = Plan {
        nodes: 2,
        edges: &[],
        limit: 2,
        pinned: None,
        failing: None,
    };
    explore_served(&PLAN, 2, |_| (), all_once);
}

#[test]
fn a_node_that_is_put_back_while_its_run_stops_is_not_left_running() {
    static PLAN: Plan = Plan {
        nodes: 2,
        edges: &[(0, 1)],
        limit: 2,
        pinned: None,
        failing: None,
    };
    let stop: fn(&Served) = |served| served.model.run.stop();
    explore_served(&PLAN, 1, stop, |runs| {
        assert!(runs.iter().all(|&count| count <= 1), "{runs:?}");
    });
}
