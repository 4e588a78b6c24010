//! What a run leaves behind, and short runs, which begin and end in one call.

use std::sync::Arc;

use pyo3::exceptions::PySystemError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::py::engine::{Ask, Execution, Inline};

use super::program::{Dialect, WorkflowProgram};

/// Every node's result, in topological order.
pub(super) fn results<'py>(
    py: Python<'py>,
    execution: &Execution<WorkflowProgram>,
) -> PyResult<Bound<'py, PyDict>> {
    let program = &execution.program;
    let has_no_others = program.stage.is_whole() || program.dialect == Dialect::Cyclic;
    if has_no_others && execution.run.solo_position().is_some() {
        return Ok(program.results.bind(py).clone());
    }
    let ordered = PyDict::new(py);
    for index in program.stage.nodes() {
        if let Some(value) = program.output_of(index) {
            ordered.set_item(&program.plan.nodes[index as usize].id, value)?;
        }
    }
    Ok(ordered)
}

/// What the first failing node in topological order left.
pub(super) fn failure(execution: &Execution<WorkflowProgram>) -> PyErr {
    match execution.take_failure() {
        Some((_, error)) => error,
        None => PySystemError::new_err("a run failed without an error"),
    }
}

/// What came of a short run.
pub(super) enum Short<'py> {
    /// All nodes ran: their results.
    Finished(Bound<'py, PyAny>),
    /// The rest is left to workers: the run's host.
    Left(Bound<'py, PyAny>),
}

/// Runs nodes on the calling thread, an event loop's.
pub(super) fn run_short<'py>(
    py: Python<'py>,
    execution: &Arc<Execution<WorkflowProgram>>,
) -> PyResult<Short<'py>> {
    let host = &execution.program.host;
    let outcome = match execution.run_inline(py) {
        Ok(Inline::Rest) => {
            let host = host.get(py)?;
            return Ok(Short::Left(host.bind(py).clone()));
        }
        Ok(Inline::Finished) => {
            execution.program.is_over(true);
            results(py, execution).map(|results| Short::Finished(results.into_any()))
        }
        Ok(Inline::Failed) => {
            execution.program.is_over(false);
            Err(failure(execution))
        }
        Err(error) => Err(error),
    };
    if let Some(host) = host.made() {
        // It refers to the run, which refers to it.
        host.bind(py).ask(intern!(py, "release"), ())?;
    }
    outcome
}
