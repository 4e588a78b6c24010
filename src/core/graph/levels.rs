//! Levels: nodes grouped by their longest distance from a source, counted in edges.

use super::csr::Csr;
use super::{NodeIndex, TaskDag};

impl TaskDag {
    /// The nodes of each level, ascending. Nodes of one level never wait for one another.
    pub fn levels(&self) -> Vec<Vec<NodeIndex>> {
        let level_of = level_of_each(&self.order, &self.predecessors);
        let mut levels: Vec<Vec<NodeIndex>> = widths(&level_of)
            .into_iter()
            .map(Vec::with_capacity)
            .collect();
        for (node, &level) in (0..).zip(&level_of) {
            levels[level as usize].push(node);
        }
        levels
    }

    /// The number of levels: the number of nodes on the path with the most nodes.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The size of the largest level: so many nodes can certainly run at the same time.
    ///
    /// More may be possible, because nodes of different levels can be independent too: a chain
    /// with one leaf at each link has levels of two nodes, and all its leaves are independent.
    pub fn max_width(&self) -> usize {
        self.max_width
    }

    /// Whether no two nodes can ever run at the same time.
    ///
    /// Levels decide this exactly: where each holds one node, each node waits for the one of the
    /// level above it.
    pub fn is_chain_like(&self) -> bool {
        self.max_width <= 1
    }
}

pub(super) fn depth_and_width(order: &[NodeIndex], predecessors: &Csr) -> (usize, usize) {
    let widths = widths(&level_of_each(order, predecessors));
    (widths.len(), widths.into_iter().max().unwrap_or(0))
}

fn level_of_each(order: &[NodeIndex], predecessors: &Csr) -> Vec<u32> {
    let mut level_of = vec![0; order.len()];
    for &node in order {
        let above = predecessors.row(node).iter();
        let level = above.map(|&before| level_of[before as usize] + 1).max();
        level_of[node as usize] = level.unwrap_or(0);
    }
    level_of
}

fn widths(level_of: &[u32]) -> Vec<usize> {
    let depth = level_of.iter().max().map_or(0, |&last| last as usize + 1);
    let mut widths = vec![0; depth];
    for &level in level_of {
        widths[level as usize] += 1;
    }
    widths
}
