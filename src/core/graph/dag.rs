//! The immutable task graph.

use super::csr::Csr;
use super::{GraphError, NodeIndex, cycle, levels, order};

/// An immutable directed acyclic graph of tasks, 24 bytes a node at one edge a node.
///
/// Methods that take a [`NodeIndex`] panic when it is not below [`TaskDag::node_count`], as a
/// slice does.
#[derive(Debug, Clone)]
pub struct TaskDag {
    pub(super) successors: Csr,
    pub(super) predecessors: Csr,
    pub(super) order: Box<[NodeIndex]>,
    /// The inverse of `order`.
    pub(super) position: Box<[u32]>,
    pub(super) depth: usize,
    pub(super) max_width: usize,
    is_index_order_topological: bool,
}

impl TaskDag {
    /// Builds the graph from `(predecessor, successor)` pairs; a pair given twice counts once.
    pub fn from_edges(
        node_count: usize,
        edges: &[(NodeIndex, NodeIndex)],
    ) -> Result<Self, GraphError> {
        if node_count > NodeIndex::MAX as usize {
            return Err(GraphError::TooManyNodes { count: node_count });
        }
        if edges.len() > u32::MAX as usize {
            return Err(GraphError::TooManyEdges { count: edges.len() });
        }
        let is_index_order_topological = check_edges(node_count, edges)?;
        let successors = Csr::from_edges(node_count, edges);
        let predecessors = successors.transposed();
        let order = if is_index_order_topological {
            (0..node_count as NodeIndex).collect()
        } else {
            match order::smallest_first(&successors, predecessors.row_lengths()) {
                Ok(order) => order,
                Err(waiting_for) => {
                    return Err(GraphError::Cycle {
                        path: cycle::witness(&successors, &predecessors, &waiting_for),
                    });
                }
            }
        };
        let position = order::inverse(&order);
        let (depth, max_width) = levels::depth_and_width(&order, &predecessors);
        Ok(Self {
            successors,
            predecessors,
            order: order.into_boxed_slice(),
            position: position.into_boxed_slice(),
            depth,
            max_width,
            is_index_order_topological,
        })
    }

    pub fn node_count(&self) -> usize {
        self.order.len()
    }

    /// The number of distinct edges.
    pub fn edge_count(&self) -> usize {
        self.successors.edge_count()
    }

    /// The nodes that wait for `node`, ascending.
    pub fn successors(&self, node: NodeIndex) -> &[NodeIndex] {
        self.successors.row(node)
    }

    /// The nodes that `node` waits for, ascending.
    pub fn predecessors(&self, node: NodeIndex) -> &[NodeIndex] {
        self.predecessors.row(node)
    }

    pub fn in_degree(&self, node: NodeIndex) -> usize {
        self.predecessors.row_len(node)
    }

    pub fn out_degree(&self, node: NodeIndex) -> usize {
        self.successors.row_len(node)
    }

    /// Every node's in-degree: what a scheduler counts down from.
    pub fn in_degrees(&self) -> Vec<u32> {
        self.predecessors.row_lengths()
    }

    /// The index order where that is topological, else the order in which, of the nodes whose
    /// predecessors are all placed, the smallest index always comes next.
    pub fn topological_order(&self) -> &[NodeIndex] {
        &self.order
    }

    /// The place of `node` in [`TaskDag::topological_order`].
    pub fn position(&self, node: NodeIndex) -> usize {
        self.position[node as usize] as usize
    }

    /// Whether the topological order is simply `0..node_count`.
    pub fn is_index_order_topological(&self) -> bool {
        self.is_index_order_topological
    }

    /// The memory that the graph holds, heap included.
    pub fn size_in_bytes(&self) -> usize {
        size_of::<Self>()
            + self.successors.heap_bytes()
            + self.predecessors.heap_bytes()
            + size_of_val(&*self.order)
            + size_of_val(&*self.position)
    }
}

/// Refuses unknown nodes and self-loops; returns whether every edge leads to a larger index.
fn check_edges(node_count: usize, edges: &[(NodeIndex, NodeIndex)]) -> Result<bool, GraphError> {
    let mut all_ascend = true;
    let mut self_loop: Option<NodeIndex> = None;
    for &(from, to) in edges {
        for index in [from, to] {
            if index as usize >= node_count {
                return Err(GraphError::UnknownNode { index, node_count });
            }
        }
        all_ascend &= from < to;
        if from == to {
            self_loop = Some(self_loop.map_or(from, |smallest| smallest.min(from)));
        }
    }
    match self_loop {
        Some(node) => Err(GraphError::Cycle {
            path: vec![node, node],
        }),
        None => Ok(all_ascend),
    }
}
