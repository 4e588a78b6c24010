//! The list scheduler simulated, not run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{GraphError, NodeIndex, TaskDag};

/// One node's place in a schedule; times in seconds from the start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slot {
    pub node: NodeIndex,
    /// From 0; below the number of workers.
    pub worker: u32,
    pub start: f64,
    pub end: f64,
}

/// Where and when every node runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    pub makespan: f64,
    /// In the order in which the nodes are started.
    pub slots: Vec<Slot>,
}

impl TaskDag {
    /// Predicts a run on `workers` workers that costs nothing but the nodes' own `durations`.
    ///
    /// No worker idles while a node is ready. The node with the longest remaining path goes
    /// first, of equal ones the first in topological order, to the lowest-numbered idle worker.
    pub fn simulate(&self, durations: &[f64], workers: usize) -> Result<Schedule, GraphError> {
        if workers == 0 {
            return Err(GraphError::NoWorkers);
        }
        let mut ready = Ready::new(self, self.remaining_path(durations)?);
        let mut idle = IdleWorkers::new(workers.min(self.node_count()));
        let mut running: BinaryHeap<Reverse<(TimeKey, u32, NodeIndex)>> = BinaryHeap::new();
        let mut slots = Vec::with_capacity(self.node_count());
        let mut now = 0.0_f64;
        loop {
            while !ready.is_empty()
                && let Some(worker) = idle.take_lowest()
                && let Some(node) = ready.pop()
            {
                let end = now + durations[node as usize];
                running.push(Reverse((time_key(end), worker, node)));
                slots.push(Slot {
                    node,
                    worker,
                    start: now,
                    end,
                });
            }
            let Some(&Reverse((next, _, _))) = running.peek() else {
                break;
            };
            now = f64::from_bits(next);
            // Everything that ends now ends before anything is started, so that the choice is
            // among all nodes that are ready at this time.
            while let Some(&Reverse((end, worker, node))) = running.peek()
                && end == next
            {
                running.pop();
                idle.give_back(worker);
                ready.release_successors(node);
            }
        }
        Ok(Schedule {
            makespan: now,
            slots,
        })
    }
}

/// The bits of a time. Times are finite and sums that begin with +0, so never negative and never
/// -0, and for those the bits order as the numbers do.
type TimeKey = u64;

fn time_key(seconds: f64) -> TimeKey {
    seconds.to_bits()
}

struct Ready<'dag> {
    dag: &'dag TaskDag,
    remaining: Vec<f64>,
    waiting_for: Vec<u32>,
    /// Remaining path, then topological position; the largest is taken.
    queue: BinaryHeap<(TimeKey, Reverse<u32>)>,
}

impl<'dag> Ready<'dag> {
    fn new(dag: &'dag TaskDag, remaining: Vec<f64>) -> Self {
        let mut ready = Self {
            dag,
            remaining,
            waiting_for: dag.in_degrees(),
            queue: BinaryHeap::new(),
        };
        for node in 0..dag.node_count() as NodeIndex {
            if ready.waiting_for[node as usize] == 0 {
                ready.push(node);
            }
        }
        ready
    }

    fn push(&mut self, node: NodeIndex) {
        let key = time_key(self.remaining[node as usize]);
        let position = self.dag.position[node as usize];
        self.queue.push((key, Reverse(position)));
    }

    fn pop(&mut self) -> Option<NodeIndex> {
        let (_, Reverse(position)) = self.queue.pop()?;
        Some(self.dag.order[position as usize])
    }

    fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn release_successors(&mut self, node: NodeIndex) {
        for &successor in self.dag.successors(node) {
            let count = &mut self.waiting_for[successor as usize];
            *count -= 1;
            if *count == 0 {
                self.push(successor);
            }
        }
    }
}

/// Workers that have run before are kept by number; the rest are known by their count alone, so
/// that a million workers for ten nodes cost nothing.
struct IdleWorkers {
    returned: BinaryHeap<Reverse<u32>>,
    unused: std::ops::Range<u32>,
}

impl IdleWorkers {
    fn new(workers: usize) -> Self {
        Self {
            returned: BinaryHeap::new(),
            unused: 0..workers as u32,
        }
    }

    fn take_lowest(&mut self) -> Option<u32> {
        // A worker that has run before always has a lower number than an unused one.
        match self.returned.pop() {
            Some(Reverse(worker)) => Some(worker),
            None => self.unused.next(),
        }
    }

    fn give_back(&mut self, worker: u32) {
        self.returned.push(Reverse(worker));
    }
}
