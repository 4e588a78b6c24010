//! One run of a compiled graph.

use std::sync::Arc;

use pyo3::exceptions::PySystemError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping};

use crate::core::schedule::{Run, RunSettings};
use crate::py::engine::{Driven, Execution, Limits, RunContext, Slots, StopReason};
use crate::py::errors::raise;

use super::options::RunOptions;
use super::plan::Plan;
use super::program::{GraphProgram, Release};

pub(super) fn run<'py>(
    py: Python<'py>,
    shared: &Py<Plan>,
    inputs: Option<&Bound<'py, PyMapping>>,
    options: RunOptions,
) -> PyResult<Bound<'py, PyDict>> {
    let plan = shared.get();
    let RunOptions { keep, deadline, .. } = options;
    let program = GraphProgram {
        plan: shared.clone_ref(py),
        slots: Slots::new(plan.names.len()),
        inputs: plan.bind_inputs(py, inputs)?,
        release: keep.clone().map(|keep| Release::new(plan, keep)),
        cancel: options.cancel,
    };
    let settings = RunSettings {
        limit: options.limit,
        pinned: Arc::from([]),
        durations: Arc::clone(&plan.durations),
    };
    let run = Arc::new(Run::new(Arc::clone(&plan.dag), settings));
    let context = RunContext::copy_current(py)?;
    let execution = Execution::new(run, program, context, false, options.measure, None);
    let limits = Limits {
        deadline,
        caller_runs: deadline.is_none(),
    };
    let driven = execution.drive(py, &limits)?;
    if let Some(trace) = &execution.trace {
        for span in trace.spans() {
            let seconds = (span.end - span.start) as f32;
            plan.durations.observe(span.node, seconds);
        }
        plan.durations.refresh(&plan.dag);
    }
    match driven {
        Driven::Finished => collect(py, &execution.program, keep.as_deref()),
        Driven::Stopped(StopReason::TimedOut) => {
            Err(raise(py, "RunTimeout", (options.timeout, plan.names.len())))
        }
        Driven::Stopped(StopReason::Cancelled) => {
            let cancel = execution.program.cancel.as_ref();
            let reason = cancel.and_then(|state| state.reason());
            Err(raise(py, "RunCancelled", (reason,)))
        }
        Driven::Stopped(StopReason::Failed) => Err(failure(py, &execution)),
        Driven::Pinned(_) => Err(PySystemError::new_err("a task graph has no pinned nodes")),
    }
}

fn collect<'py>(
    py: Python<'py>,
    program: &GraphProgram,
    keep: Option<&[bool]>,
) -> PyResult<Bound<'py, PyDict>> {
    let results = PyDict::new(py);
    for (node, name) in program.plan.get().names.iter().enumerate() {
        if keep.is_some_and(|keep| !keep[node]) {
            continue;
        }
        // SAFETY: the run is over; all of its nodes have finished.
        if let Some(value) = unsafe { program.slots.get(node as u32) } {
            results.set_item(name, value)?;
        }
    }
    Ok(results)
}

fn failure(py: Python<'_>, execution: &Execution<GraphProgram>) -> PyErr {
    let Some((node, error)) = execution.take_failure() else {
        return PySystemError::new_err("a run failed without an error");
    };
    // The note says which node; the exception stays the node's own.
    let name = execution.program.plan.get().names[node as usize].bind(py);
    if let Ok(shown) = name.repr() {
        let text = format!("raised by node {shown}");
        let _ = error.value(py).call_method1("add_note", (text,));
    }
    error
}
