//! Stepping through a graph for a loop that runs the nodes itself.

use std::sync::Arc;

use crate::core::graph::TaskDag;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Ready,
    HandedOut,
    Done,
}

/// Why a node cannot be marked done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepError {
    /// It was never handed out by `get_ready`.
    NotHandedOut,
    /// It was marked done before.
    AlreadyDone,
}

/// Hands out ready nodes, in the manner of `graphlib.TopologicalSorter`.
pub struct Stepper {
    dag: Arc<TaskDag>,
    missing: Vec<u32>,
    stages: Vec<Stage>,
    ready: Vec<u32>,
    handed_out: usize,
    done: usize,
}

impl Stepper {
    pub fn new(dag: Arc<TaskDag>) -> Self {
        let count = dag.node_count() as u32;
        let missing: Vec<u32> = (0..count).map(|n| dag.in_degree(n) as u32).collect();
        let ready: Vec<u32> = (0..count).filter(|&n| missing[n as usize] == 0).collect();
        let mut stages = vec![Stage::Waiting; count as usize];
        for &node in &ready {
            stages[node as usize] = Stage::Ready;
        }
        Self {
            dag,
            missing,
            stages,
            ready,
            handed_out: 0,
            done: 0,
        }
    }

    /// Nodes that became ready since the last call, in topological order.
    pub fn get_ready(&mut self) -> Vec<u32> {
        let mut nodes = std::mem::take(&mut self.ready);
        nodes.sort_unstable();
        for &node in &nodes {
            self.stages[node as usize] = Stage::HandedOut;
        }
        self.handed_out += nodes.len();
        nodes
    }

    /// Checks that `node` may be marked done, changing nothing.
    pub fn check(&self, node: u32) -> Result<(), StepError> {
        match self.stages[node as usize] {
            Stage::HandedOut => Ok(()),
            Stage::Done => Err(StepError::AlreadyDone),
            Stage::Waiting | Stage::Ready => Err(StepError::NotHandedOut),
        }
    }

    /// Marks a node that was handed out as done.
    pub fn done(&mut self, node: u32) -> Result<(), StepError> {
        self.check(node)?;
        self.stages[node as usize] = Stage::Done;
        self.handed_out -= 1;
        self.done += 1;
        for &successor in self.dag.successors(node) {
            let missing = &mut self.missing[successor as usize];
            *missing -= 1;
            if *missing == 0 {
                self.stages[successor as usize] = Stage::Ready;
                self.ready.push(successor);
            }
        }
        Ok(())
    }

    /// Whether nodes are ready, handed out, or still to come.
    pub fn is_active(&self) -> bool {
        self.done < self.stages.len()
    }
}
