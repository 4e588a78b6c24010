//! Kailash workflows on the core's scheduler.
//!
//! Python reads a workflow once and describes it here as a plan of node
//! programs. What a program cannot decide natively it asks of the run's *host*,
//! a Python object that calls Kailash's own functions.

mod answers;
mod async_inputs;
mod cached_nodes;
mod clock;
mod code;
mod confirmations;
mod digest_watch;
mod endings;
mod figures;
mod function;
mod generic;
mod history;
mod host;
mod inputs;
mod memory_limit;
mod method_watch;
mod node;
mod node_caching;
mod node_flights;
mod node_logs;
mod node_run;
mod options;
mod outcome;
mod outputs;
mod pinned;
mod plan;
mod preparation;
mod program;
mod quiet;
mod recording;
mod remote;
mod round;
mod run;
mod run_ends;
mod run_figures;
mod run_ids;
mod short_way;
mod single_node;
mod skip;
mod spare;
mod stage;
mod switch;
mod validation;
mod variables;
mod watch;
mod watched_set;

use pyo3::prelude::*;

pub(crate) use plan::WorkflowPlan;
pub(crate) use recording::Recording;
pub(crate) use run::WorkflowRun;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<plan::WorkflowPlan>()?;
    module.add_class::<stage::PlanStage>()?;
    module.add_class::<remote::RemoteNodes>()?;
    module.add_class::<round::Round>()?;
    module.add_class::<node_caching::NodeCaching>()?;
    module.add_class::<node_flights::NodeFlights>()?;
    module.add_class::<short_way::ShortWay>()?;
    module.add_function(wrap_pyfunction!(run_ids::new_run_id, module)?)?;
    module.add_function(wrap_pyfunction!(single_node::run_single_node, module)?)?;
    module.add_class::<method_watch::MethodWatch>()?;
    module.add_class::<digest_watch::DigestWatch>()?;
    module.add_class::<answers::Answers>()?;
    module.add_class::<answers::HitCount>()?;
    module.add_class::<options::RunOptions>()?;
    module.add_class::<memory_limit::MemoryLimit>()?;
    module.add_class::<figures::Figures>()?;
    module.add_class::<run_ends::RunEnds>()?;
    module.add_class::<run::WorkflowRun>()
}
