//! A witness for a graph that cannot be ordered.

use std::collections::VecDeque;

use super::NodeIndex;
use super::csr::Csr;

/// A simple cycle, its first node repeated at the end: the shortest one through one node that
/// is certainly on a cycle. The same graph always gives the same path, from its smallest index.
///
/// `waiting_for` is what Kahn's algorithm left over; where it left nothing the path is empty.
pub(super) fn witness(successors: &Csr, predecessors: &Csr, waiting_for: &[u32]) -> Vec<NodeIndex> {
    let Some(node) = node_on_a_cycle(predecessors, waiting_for) else {
        return Vec::new();
    };
    let mut path = shortest_through(node, successors, waiting_for);
    let smallest = (0..path.len()).min_by_key(|&place| path[place]);
    path.rotate_left(smallest.unwrap_or(0));
    path.extend(path.first().copied());
    path
}

/// Walks backwards from the smallest node left over until the walk meets itself, and takes the
/// smallest node of the loop. The walk never gets stuck: a node left over waits for another one.
fn node_on_a_cycle(predecessors: &Csr, waiting_for: &[u32]) -> Option<NodeIndex> {
    let is_left = |node: NodeIndex| waiting_for[node as usize] > 0;
    let back = |node: NodeIndex| {
        let row = predecessors.row(node);
        row.iter().copied().find(|&before| is_left(before))
    };
    let mut seen = vec![false; waiting_for.len()];
    let mut meeting = (0..waiting_for.len() as NodeIndex).find(|&node| is_left(node))?;
    while !std::mem::replace(&mut seen[meeting as usize], true) {
        meeting = back(meeting)?;
    }
    let mut smallest = meeting;
    let mut node = back(meeting)?;
    while node != meeting {
        smallest = smallest.min(node);
        node = back(node)?;
    }
    Some(smallest)
}

/// Breadth-first search from `start` back to it; the path has no repeated node.
fn shortest_through(start: NodeIndex, successors: &Csr, waiting_for: &[u32]) -> Vec<NodeIndex> {
    const UNREACHED: NodeIndex = NodeIndex::MAX;
    let mut reached_from = vec![UNREACHED; waiting_for.len()];
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for &next in successors.row(node) {
            if waiting_for[next as usize] == 0 || reached_from[next as usize] != UNREACHED {
                continue;
            }
            reached_from[next as usize] = node;
            if next == start {
                return walk_back(start, &reached_from);
            }
            queue.push_back(next);
        }
    }
    Vec::new()
}

fn walk_back(start: NodeIndex, reached_from: &[NodeIndex]) -> Vec<NodeIndex> {
    let mut path = vec![start];
    let mut node = reached_from[start as usize];
    while node != start {
        path.push(node);
        node = reached_from[node as usize];
    }
    // Collected as start, last, ..., second.
    path[1..].reverse();
    path
}
