//! Longest paths: the critical path, the longest remaining path, and slack.

use super::{GraphError, NodeIndex, TaskDag, durations};

/// The path that bounds every schedule from below.
#[derive(Debug, Clone, PartialEq)]
pub struct CriticalPath {
    /// From a source to a sink; empty for an empty graph.
    pub nodes: Vec<NodeIndex>,
    /// The sum of the path's durations, in seconds.
    pub length: f64,
}

/// When each node can and must start for the graph to end after its critical path, in seconds
/// from the start and with as many workers as there are nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct Timing {
    pub earliest_start: Vec<f64>,
    pub latest_start: Vec<f64>,
    /// How much later than at its earliest start a node may start; exactly 0 on a critical path.
    pub slack: Vec<f64>,
}

impl TaskDag {
    /// The longest path by duration; of several, the one whose nodes come first in topological
    /// order. `durations` are seconds, one a node, finite and not negative.
    pub fn critical_path(&self, durations: &[f64]) -> Result<CriticalPath, GraphError> {
        let remaining = self.remaining_path(durations)?;
        let longest = |candidates: &[NodeIndex]| {
            candidates.iter().copied().reduce(|best, node| {
                let (length, best_length) = (remaining[node as usize], remaining[best as usize]);
                let wins = length > best_length
                    || (length >= best_length && self.position(node) < self.position(best));
                if wins { node } else { best }
            })
        };
        let mut next = longest(&self.order);
        let length = next.map_or(0.0, |first| remaining[first as usize]);
        let mut nodes = Vec::new();
        while let Some(node) = next {
            nodes.push(node);
            next = longest(self.successors(node));
        }
        Ok(CriticalPath { nodes, length })
    }

    /// For each node the length of the longest path from its start to the end of the graph:
    /// the priority by which a list scheduler picks ready nodes.
    pub fn remaining_path(&self, durations: &[f64]) -> Result<Vec<f64>, GraphError> {
        durations::check(durations, self.node_count())?;
        let mut remaining = vec![0.0; self.node_count()];
        for &node in self.order.iter().rev() {
            let behind = self.successors(node).iter();
            let longest = behind.fold(0.0_f64, |most, &next| most.max(remaining[next as usize]));
            remaining[node as usize] = durations[node as usize] + longest;
        }
        Ok(remaining)
    }

    /// Earliest start, latest start and slack of every node.
    pub fn timing(&self, durations: &[f64]) -> Result<Timing, GraphError> {
        let remaining = self.remaining_path(durations)?;
        let length = remaining.iter().copied().fold(0.0, f64::max);
        let mut earliest_start = vec![0.0; self.node_count()];
        for &node in &self.order {
            let before = self.predecessors(node).iter();
            earliest_start[node as usize] = before.fold(0.0_f64, |latest, &previous| {
                latest.max(earliest_start[previous as usize] + durations[previous as usize])
            });
        }
        // The two ends of a path are summed separately, one rounding a node: anything below what
        // that can add up to is no slack, or nodes on the critical path would show some.
        let rounding = 2.0 * self.depth() as f64 * f64::EPSILON * length;
        let (latest_start, slack) = earliest_start
            .iter()
            .zip(&remaining)
            .map(|(&earliest, &rest)| {
                let slack = (length - rest) - earliest;
                if slack <= rounding {
                    (earliest, 0.0)
                } else {
                    (length - rest, slack)
                }
            })
            .unzip();
        Ok(Timing {
            earliest_start,
            latest_start,
            slack,
        })
    }

    /// How much each node may be late, in seconds, without making the graph longer than its
    /// critical path.
    pub fn slack(&self, durations: &[f64]) -> Result<Vec<f64>, GraphError> {
        Ok(self.timing(durations)?.slack)
    }
}
