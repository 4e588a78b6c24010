//! Served runs whose caller may cancel them between nodes, and whose nodes are
//! finished only when somebody on the event loop confirms them.

use pyo3::prelude::*;

use crate::core::schedule::{Take, Taker};

use super::drive::{Execution, StopReason};
use super::program::Program;

impl<P: Program> Execution<P> {
    pub(super) fn take_unless_cancelled(&self, py: Python<'_>) -> Take {
        self.heed_cancellation(py);
        self.run.take(Taker::Worker)
    }

    /// Lets nothing start any more if the caller wants no more of it.
    pub(crate) fn heed_cancellation(&self, py: Python<'_>) {
        if !self.program.can_be_cancelled() || self.run.is_stopped() {
            return;
        }
        match self.program.is_cancelled(py) {
            Ok(false) => {}
            Ok(true) => self.stop(StopReason::Cancelled),
            Err(error) => {
                self.fail(py, 0, error);
                self.run.stop();
            }
        }
    }

    /// Reports a node that a worker has run, and that is confirmed now, or has
    /// failed because it could not be. Called on the loop, which looks afterwards.
    pub(crate) fn confirm(&self, py: Python<'_>, node: u32, seconds: f32, error: Option<PyErr>) {
        let outcome = self.outcome(py, node, error);
        self.run.finish_and_look(node, outcome, seconds);
        self.look_after(py, true);
    }
}
