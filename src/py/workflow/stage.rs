//! Nodes of a plan that run together: all of them, or some.
//!
//! The scheduler numbers the nodes of a run from zero by a topological order; a
//! plan numbers its nodes once. A stage translates between the two, and has a
//! graph, learned durations and everything else that a run needs of its own.

use std::sync::Arc;

use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;

use crate::core::graph::{GraphError, TaskDag};
use crate::core::schedule::LearnedDurations;

use super::node::{Body, Node};

pub(super) struct Stage {
    /// Nodes of the plan by their position here; `None` for all in order.
    members: Option<Box<[u32]>>,
    /// Positions by node of the plan; `None` for those that are not members.
    positions: Box<[Option<u32>]>,
    pub(super) dag: Arc<TaskDag>,
    pub(super) durations: Arc<LearnedDurations>,
    /// Nodes that the caller awaits, by position; empty for none.
    pub(super) pinned: Arc<[bool]>,
}

impl Stage {
    /// All nodes of a plan.
    pub(super) fn whole(nodes: &[Node]) -> Result<Self, GraphError> {
        let edges = dependencies(nodes, 0..nodes.len() as u32, &|node| Some(node));
        Self::new(nodes, None, Box::from([]), &edges)
    }

    /// Some nodes of a plan, in the order that a sequential run has. A member
    /// waits for those of its sources that come earlier in that order.
    pub(super) fn of(nodes: &[Node], members: Vec<u32>) -> PyResult<Self> {
        let mut positions = vec![None; nodes.len()];
        for (position, &member) in members.iter().enumerate() {
            let place = positions.get_mut(member as usize).ok_or_else(|| {
                PyIndexError::new_err(format!("there is no node {member} in the plan"))
            })?;
            if place.replace(position as u32).is_some() {
                return Err(PyValueError::new_err(format!(
                    "node {member} is in the stage twice"
                )));
            }
        }
        let edges = dependencies(nodes, members.iter().copied(), &|node| {
            positions[node as usize]
        });
        Self::new(nodes, Some(members.into()), positions.into(), &edges)
            .map_err(|error| PyValueError::new_err(error.to_string()))
    }

    fn new(
        nodes: &[Node],
        members: Option<Box<[u32]>>,
        positions: Box<[Option<u32>]>,
        edges: &[(u32, u32)],
    ) -> Result<Self, GraphError> {
        let count = members
            .as_ref()
            .map_or(nodes.len(), |members| members.len());
        let dag = TaskDag::from_edges(count, edges)?;
        let mut stage = Self {
            members,
            positions,
            dag: Arc::new(dag),
            durations: Arc::new(LearnedDurations::new(count)),
            pinned: Arc::from([]),
        };
        let pinned: Vec<bool> = (0..count as u32)
            .map(|position| matches!(nodes[stage.node(position) as usize].body, Body::Async))
            .collect();
        if pinned.contains(&true) {
            stage.pinned = pinned.into();
        }
        Ok(stage)
    }

    pub(super) fn len(&self) -> usize {
        self.dag.node_count()
    }

    pub(super) fn is_whole(&self) -> bool {
        self.members.is_none()
    }

    /// The plan's number of the node at a position.
    #[inline]
    pub(super) fn node(&self, position: u32) -> u32 {
        match &self.members {
            None => position,
            Some(members) => members[position as usize],
        }
    }

    /// The position of a node of the plan, if it is a member.
    #[inline]
    pub(super) fn position(&self, node: u32) -> Option<u32> {
        match &self.members {
            None => Some(node),
            Some(_) => self.positions[node as usize],
        }
    }

    /// All members, by their numbers in the plan, in order.
    pub(super) fn nodes(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.len() as u32).map(|position| self.node(position))
    }

    /// Whether `source` is a member that comes before the member `node`.
    pub(super) fn comes_before(&self, source: u32, node: u32) -> bool {
        match (self.position(source), self.position(node)) {
            (Some(source), Some(node)) => source < node,
            _ => false,
        }
    }
}

fn dependencies(
    nodes: &[Node],
    members: impl Iterator<Item = u32>,
    position: &dyn Fn(u32) -> Option<u32>,
) -> Vec<(u32, u32)> {
    let mut edges = Vec::new();
    for (target, member) in members.enumerate() {
        for edge in &nodes[member as usize].edges {
            if let Some(source) = position(edge.source)
                && source < target as u32
            {
                edges.push((source, target as u32));
            }
        }
    }
    edges
}

/// A stage as Python holds it.
#[pyclass(frozen, module = "nexus_core")]
pub(crate) struct PlanStage(pub(super) Arc<Stage>);

#[pymethods]
impl PlanStage {
    fn __len__(&self) -> usize {
        self.0.len()
    }
}
