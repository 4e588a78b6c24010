//! What can be wrong with a graph, or with a question put to one.

use super::NodeIndex;
use super::durations::RejectedDuration;

/// Why a graph was refused, or a question about it.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum GraphError {
    /// Nodes that wait for one another. The path starts at the cycle's smallest index and ends
    /// with that node again; a node that waits for itself is `[n, n]`.
    #[error("the graph has a cycle: {}; remove one of its edges", arrows(path))]
    Cycle { path: Vec<NodeIndex> },

    #[error("an edge names node {index}, but the graph has {node_count} nodes, numbered from 0")]
    UnknownNode { index: NodeIndex, node_count: usize },

    #[error("a graph holds at most {} nodes, {count} were given", NodeIndex::MAX)]
    TooManyNodes { count: usize },

    #[error("a graph holds at most {} edges, {count} were given", u32::MAX)]
    TooManyEdges { count: usize },

    #[error("expected one duration for each of the {expected} nodes, {given} were given")]
    DurationCount { expected: usize, given: usize },

    #[error("the duration of node {node} is {seconds}; a duration must be finite and not negative")]
    InvalidDuration {
        node: NodeIndex,
        seconds: RejectedDuration,
    },

    #[error("the durations add up to more than a 64-bit float can hold; use a larger unit")]
    DurationOverflow,

    #[error("a schedule needs at least one worker, 0 were given")]
    NoWorkers,
}

fn arrows(path: &[NodeIndex]) -> String {
    let names: Vec<String> = path.iter().map(ToString::to_string).collect();
    names.join(" -> ")
}
