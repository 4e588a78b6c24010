//! What a run is made from: its part of the plan, and what Python gives it.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::core::locks::Mutex;
use crate::core::schedule::{Run, RunSettings};
use crate::py::engine::{Execution, Places, RunContext, ServiceTerms};

use super::cached_nodes::RunCaching;
use super::history::RunRows;
use super::host::Host;
use super::memory_limit::MemoryLimit;
use super::node_caching::NodeCaching;
use super::options::RunOptions;
use super::plan::Plan;
use super::program::{Dialect, WorkflowProgram};
use super::round::Round;
use super::run_figures::RunFigures;
use super::stage::Stage;

/// On what terms Python has a run served.
pub(super) type Service<'py> = (Bound<'py, Places>, bool);

/// Which nodes run, and what was there before them.
pub(super) struct Part {
    pub(super) stage: Arc<Stage>,
    /// Outputs of nodes that are not members, by id.
    pub(super) prior: Option<Py<PyDict>>,
    /// For a workflow with cycles.
    pub(super) round: Option<Py<Round>>,
    /// What the run shares with others; `None` for one of its own.
    pub(super) memory_limit: Option<Py<MemoryLimit>>,
}

/// What Python gives a run.
pub(super) struct Given<'py> {
    /// Asked where Kailash's own functions have to decide.
    pub(super) host: Host,
    pub(super) options: RunOptions,
    pub(super) parameters: Option<Py<PyDict>>,
    pub(super) workflow_context: Py<PyDict>,
    pub(super) service: Option<Service<'py>>,
    /// Which of the plan's nodes are cached, if any are.
    pub(super) caching: Option<Py<NodeCaching>>,
}

/// Prepares a run.
pub(super) fn prepare(
    py: Python<'_>,
    plan: Arc<Plan>,
    part: Part,
    given: Given<'_>,
) -> PyResult<Arc<Execution<WorkflowProgram>>> {
    let Given {
        host,
        options,
        parameters,
        workflow_context,
        service,
        caching,
    } = given;
    let rows = options
        .history
        .then(|| Arc::new(Mutex::new(RunRows::new())));
    let run_settings = RunSettings {
        limit: options.max_concurrency,
        pinned: Arc::clone(&part.stage.pinned),
        durations: Arc::clone(&part.stage.durations),
    };
    let run = Run::new(Arc::clone(&part.stage.dag), run_settings);
    let run = Arc::new(if options.in_order {
        run.in_topological_order()
    } else {
        run
    });
    let has_pinned = !part.stage.pinned.is_empty();
    let terms = service.map(|(places, shares_context)| ServiceTerms {
        admission: Arc::clone(&places.get().admission),
        shares_context,
    });
    let is_served = terms.is_some();
    let dialect = if part.round.is_some() {
        Dialect::Cyclic
    } else if is_served && !options.as_local {
        Dialect::Async
    } else {
        Dialect::Local
    };
    let memory_limit = match (part.memory_limit, &plan.memory_limit) {
        (Some(shared), _) => Some(shared),
        (None, None) => None,
        (None, Some((book, bytes))) => {
            let together = options.max_concurrency.min(part.stage.len());
            let limit = MemoryLimit::new(Arc::clone(book), *bytes, together, is_served);
            Some(Py::new(py, limit)?)
        }
    };
    let results = match &part.prior {
        None => PyDict::new(py),
        Some(prior) => prior.bind(py).copy()?,
    };
    let mut program = WorkflowProgram::new(
        py,
        plan,
        part.stage,
        host,
        dialect,
        options,
        memory_limit,
        results.unbind(),
        parameters,
        workflow_context,
        rows,
    );
    program.round = part.round;
    if let Some(nodes) = caching {
        program.caching = Some(RunCaching::new(py, nodes, program.plan.nodes.len())?);
    }
    if let Some(prior) = part.prior {
        program.know(prior.bind(py))?;
    }
    let context = if dialect == Dialect::Async {
        RunContext::copy_current_apart(py)?
    } else {
        RunContext::copy_current(py)?
    };
    let execution = Execution::new(run, program, context, has_pinned, options.trace, terms);
    if !is_served {
        execution.prepare(true);
    }
    execution.program.host.serves(Arc::downgrade(&execution));
    if let Some(caching) = &execution.program.caching {
        caching.serves(Arc::downgrade(&execution));
    }
    Ok(execution)
}

/// Has a run counted, which has not begun.
pub(super) fn count(execution: &Execution<WorkflowProgram>, figures: RunFigures) {
    let waits = &figures.workflow.queue_wait;
    execution.run.measure_queue(Arc::clone(waits));
    execution.program.count(figures);
}
