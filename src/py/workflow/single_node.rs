//! One node of a plan, run for another process with inputs that were assembled there.

use std::sync::Arc;

use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::memory_limit::MemoryLimit;
use super::options::RunOptions;
use super::plan::WorkflowPlan;
use super::program::{Dialect, WorkflowProgram};

/// Runs a node by its program, or its own `execute`, and returns its output.
///
/// `host`: asked where Kailash's own functions have to decide; `dialect`: whose rules the run
/// follows, `"local"`, `"async"` or `"cyclic"`; for the last, `inputs` hold the context of the
/// iteration too.
#[pyfunction(name = "_run_single_node")]
#[allow(clippy::too_many_arguments)] // one call from Python
pub(super) fn run_single_node<'py>(
    py: Python<'py>,
    plan: &Bound<'py, WorkflowPlan>,
    host: Py<PyAny>,
    options: &Bound<'py, RunOptions>,
    index: u32,
    inputs: &Bound<'py, PyDict>,
    workflow_context: Py<PyDict>,
    memory_limit: Option<Py<MemoryLimit>>,
    dialect: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let plan = &plan.get().plan;
    let node = plan
        .nodes
        .get(index as usize)
        .ok_or_else(|| PyIndexError::new_err(format!("the plan has no node {index}")))?;
    // Rounds are the business of whoever has sent the inputs.
    let (own_dialect, in_round) = match dialect {
        "local" => (Dialect::Local, false),
        "async" => (Dialect::Async, false),
        "cyclic" => (Dialect::Async, true),
        other => {
            let text = format!("no runtime follows the rules {other:?}");
            return Err(PyValueError::new_err(text));
        }
    };
    let part = plan.whole_run()?;
    let program = WorkflowProgram::new(
        py,
        Arc::clone(plan),
        part.stage,
        host.into(),
        own_dialect,
        *options.get(),
        memory_limit,
        PyDict::new(py).unbind(),
        None,
        workflow_context,
        None,
    );
    if !in_round {
        return program.run_started(py, index, node, inputs);
    }
    if !program.runs_own_execute(node)
        && let Some(outputs) = program.run_body(py, index, node, inputs)?
    {
        return Ok(outputs);
    }
    let host = program.host.bind(py);
    host.ask(intern!(py, "execute_in_round"), (index, inputs))
}
