//! What a node does beside running its body: its memory limit, its lines in the log.

use std::time::Instant;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::program::WorkflowProgram;

impl WorkflowProgram {
    pub(super) fn enter_memory_limit(&self, py: Python<'_>) -> PyResult<()> {
        self.memory_limit
            .as_ref()
            .map_or(Ok(()), |limit| limit.get().enter(py))
    }

    pub(super) fn leave_memory_limit(&self, py: Python<'_>) -> PyResult<()> {
        self.memory_limit
            .as_ref()
            .map_or(Ok(()), |limit| limit.get().leave(py))
    }

    /// Memory is exhausted: what tells of it needs some. The ceiling is back in
    /// force once this is dropped.
    pub(super) fn relieve<'a, 'py>(&'a self, py: Python<'py>) -> Relief<'a, 'py> {
        if let Some(limit) = &self.memory_limit
            && let Err(error) = limit.get().lift(py)
        {
            error.write_unraisable(py, None);
        }
        Relief { program: self, py }
    }

    /// What `Node.execute` logs before it does anything, if somebody reads it.
    pub(super) fn log_executing(&self, py: Python<'_>, index: u32) -> PyResult<Option<Instant>> {
        if !self.settings.logs_nodes {
            return Ok(None);
        }
        let host = self.host.bind(py);
        host.ask(intern!(py, "log_executing"), (index,))?;
        Ok(Some(Instant::now()))
    }

    /// What `validate_node_parameters` logs.
    pub(super) fn log_validated(
        &self,
        py: Python<'_>,
        index: u32,
        variables: &Bound<'_, PyDict>,
    ) -> PyResult<()> {
        if self.settings.logs_nodes {
            let host = self.host.bind(py);
            host.ask(intern!(py, "log_validated"), (index, variables.keys()))?;
        }
        Ok(())
    }

    /// What `Node.execute` logs at its end.
    pub(super) fn log_executed(
        &self,
        py: Python<'_>,
        index: u32,
        began: Option<Instant>,
    ) -> PyResult<()> {
        if let Some(began) = began {
            let host = self.host.bind(py);
            let seconds = began.elapsed().as_secs_f64();
            host.ask(intern!(py, "log_executed"), (index, seconds))?;
        }
        Ok(())
    }
}

/// No ceiling for a while.
pub(super) struct Relief<'a, 'py> {
    program: &'a WorkflowProgram,
    py: Python<'py>,
}

impl Drop for Relief<'_, '_> {
    fn drop(&mut self) {
        if let Some(limit) = &self.program.memory_limit
            && let Err(error) = limit.get().restore(self.py)
        {
            error.write_unraisable(self.py, None);
        }
    }
}
