mod admission;
mod admission_model;
mod close;
mod durations;
mod hand_over;
mod harness;
mod model;
mod outlook;
mod properties;
mod queue;
mod random;
mod stepper;

use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::core::graph::TaskDag;

use super::{LearnedDurations, Run, RunSettings};

fn built(node_count: usize, edges: &[(u32, u32)]) -> Arc<TaskDag> {
    Arc::new(TaskDag::from_edges(node_count, edges).expect("the edges are acyclic"))
}

/// What runs know of the nodes that `seconds` has a duration for.
fn learned(dag: &TaskDag, seconds: &[Option<f32>]) -> Arc<LearnedDurations> {
    let durations = LearnedDurations::new(dag.node_count());
    for (node, &seconds) in seconds.iter().enumerate() {
        if let Some(seconds) = seconds {
            durations.observe(node as u32, seconds);
        }
    }
    durations.refresh(dag);
    Arc::new(durations)
}

/// A run of a graph that was never run before.
fn fresh_run(dag: &Arc<TaskDag>, limit: usize, pinned: &[u32]) -> Run {
    let mut is_pinned = vec![false; dag.node_count()];
    for &node in pinned {
        is_pinned[node as usize] = true;
    }
    let settings = RunSettings {
        limit,
        pinned: Arc::from(is_pinned),
        durations: Arc::new(LearnedDurations::new(dag.node_count())),
    };
    Run::new(Arc::clone(dag), settings)
}

/// Lets the caller wait without a time limit of its own; panics when nothing
/// wakes it.
fn wait_for_work(run: &Arc<Run>) {
    let (sender, woken) = mpsc::channel();
    let run = Arc::clone(run);
    std::thread::spawn(move || {
        run.wait(true, Duration::from_secs(3600));
        let _ = sender.send(());
    });
    let woken = woken.recv_timeout(Duration::from_secs(20));
    assert!(woken.is_ok(), "the caller was not woken");
}
