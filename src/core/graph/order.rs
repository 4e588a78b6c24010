//! Topological order by Kahn's algorithm.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::NodeIndex;
use super::csr::Csr;

/// The order in which the smallest available index always comes next.
///
/// Fails on a cycle with the count of predecessors that each node still waits for: non-zero for
/// the nodes on cycles and for those behind them.
pub(super) fn smallest_first(
    successors: &Csr,
    mut waiting_for: Vec<u32>,
) -> Result<Vec<NodeIndex>, Vec<u32>> {
    let mut order = Vec::with_capacity(waiting_for.len());
    let mut available: BinaryHeap<Reverse<NodeIndex>> = (0..)
        .zip(&waiting_for)
        .filter(|&(_, &count)| count == 0)
        .map(|(node, _)| Reverse(node))
        .collect();
    while let Some(Reverse(node)) = available.pop() {
        order.push(node);
        for &successor in successors.row(node) {
            let count = &mut waiting_for[successor as usize];
            *count -= 1;
            if *count == 0 {
                available.push(Reverse(successor));
            }
        }
    }
    if order.len() == waiting_for.len() {
        Ok(order)
    } else {
        Err(waiting_for)
    }
}

/// Each node's position in `order`.
pub(super) fn inverse(order: &[NodeIndex]) -> Vec<u32> {
    let mut position = vec![0; order.len()];
    for (place, &node) in (0..).zip(order) {
        position[node as usize] = place;
    }
    position
}
