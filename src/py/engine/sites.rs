//! Whose threads execute nodes, and nodes that wait without any.

use pyo3::prelude::*;

use super::drive::Execution;
use super::program::Program;

/// Whose thread executes a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    /// An event loop's own, which others need meanwhile.
    Loop,
    /// That of a worker alone with a run that nobody's thread waits for.
    Alone,
    /// That of one of several workers of such a run.
    Together,
    /// One of a run that some thread waits for.
    Driven,
}

/// How far a node has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Ended,
    /// It is for [`Site::Together`]: said on [`Site::Loop`] and [`Site::Alone`] only.
    Declined,
    /// It waits without a thread, and is executed again after `Execution::unpark`,
    /// which may have come already: said on [`Site::Together`] only.
    Parked,
}

impl<P: Program> Execution<P> {
    /// A node that was parked need not wait any longer: some worker executes it again.
    /// Called on any thread, without locks.
    pub(crate) fn unpark(&self, py: Python<'_>, node: u32) {
        if !self.is_forked() {
            self.run.put_back(node);
            self.look_after(py, false);
        }
    }
}
