//! Nodes that the caller awaits itself: what comes before and after.

use std::time::Instant;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::program::{Dialect, Ended, WorkflowProgram};

impl WorkflowProgram {
    /// The inputs of a pinned node, for the caller that awaits it. `None` when
    /// the node ended without running.
    pub(super) fn begin_pinned<'py>(
        &self,
        py: Python<'py>,
        index: u32,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        if self.settings.tracks && self.replay(py, index)? {
            return Ok(None);
        }
        let node = &self.plan.nodes[index as usize];
        let started = self.begin_node(py, index)?;
        let inputs = match self.assemble(py, index) {
            Ok(inputs) => inputs,
            Err(error) => {
                self.end_node(py, index, None, Err(error), started)?;
                return Ok(None);
            }
        };
        if self.is_skipped(py, index, node, &inputs)? {
            self.end_node(py, index, Some(&inputs), Ok(Ended::Skipped), started)?;
            return Ok(None);
        }
        if self.dialect == Dialect::Local {
            let context = self.workflow_context.bind(py);
            let host = self.host.bind(py);
            host.ask(intern!(py, "give_context"), (index, context))?;
        } else {
            self.tell_started(py, index)?;
        }
        Ok(Some(inputs))
    }

    pub(super) fn end_pinned(
        &self,
        py: Python<'_>,
        index: u32,
        inputs: &Bound<'_, PyDict>,
        outcome: PyResult<Bound<'_, PyAny>>,
        started: Instant,
    ) -> PyResult<()> {
        let ended = outcome.map(Ended::Output);
        self.end_node(py, index, Some(inputs), ended, Some(started))
    }
}
