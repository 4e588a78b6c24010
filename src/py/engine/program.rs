//! What the engine runs: nodes of a workflow or of a task graph.

use std::time::Duration;

use pyo3::prelude::*;

use crate::core::schedule::Run;
use crate::core::threads::Spent;

use super::sites::{Site, Step};

/// What a run executes: nodes by their position in topological order.
pub(crate) trait Program: Send + Sync + 'static {
    /// Runs one node and keeps its output. An error stops the run.
    fn execute(&self, py: Python<'_>, node: u32, site: Site) -> PyResult<Step>;

    /// Before and after a stretch of nodes that one thread runs in a row, in a
    /// run that nobody's thread waits for.
    /// `end_stretch` is called only after a `begin_stretch` that says `true`.
    fn begin_stretch(&self, _py: Python<'_>) -> bool {
        false
    }
    fn end_stretch(&self, _py: Python<'_>) {}

    /// Nodes ran one after the other: all of them, or until that took long.
    fn ran_alone(&self, _spent: Spent) {}

    /// A thread has come for nodes, and has waited so long for the interpreter's lock.
    fn came(&self, _waited: Duration) {}

    /// The run may be shared by several threads from now on.
    fn is_shared(&self, _run: &Run) {}

    /// Whether `between_nodes` does anything.
    const WANTS_TICKS: bool = false;

    /// Whether nodes that have run may be left unconfirmed: they are finished,
    /// and release those that wait for them, when somebody confirms them.
    fn confirms(&self) -> bool {
        false
    }

    /// Whether this node, which has just run, is one of them.
    fn is_unconfirmed(&self, _node: u32) -> bool {
        false
    }

    /// Called now and then between nodes while a run lasts longer than a tick.
    fn between_nodes(&self, _py: Python<'_>) {}

    /// Asked between nodes: whether the caller wants no more of them.
    fn is_cancelled(&self, _py: Python<'_>) -> PyResult<bool> {
        Ok(false)
    }

    /// Whether `is_cancelled` can ever say yes.
    fn can_be_cancelled(&self) -> bool {
        false
    }
}
