//! One round of a workflow with cycles, and a node's inputs in it.
//!
//! Follows `CyclicWorkflowExecutor._execute_node`. What a node sees of its sources depends on
//! the edge: one that leads from an iteration to the next delivers what the source left in the
//! last one; any other delivers what the source has left in this one, if it comes earlier, and
//! what is known of it from before otherwise.

use std::time::{SystemTime, UNIX_EPOCH};

use pyo3::exceptions::{PyException, PySystemError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::py::engine::{Ask, RunContext};
use crate::py::errors::exception;

use super::inputs::look_up;
use super::node::{Edge, Mapping, Node};
use super::program::{Ended, WorkflowProgram};

/// What the nodes of a round are given beside their sources' outputs.
#[pyclass(frozen, module = "nexus_core")]
pub(crate) struct Round {
    /// Outputs by node id, as they were before this round.
    state: Py<PyDict>,
    /// What the last iteration left, by node id; `None` in the first one, and
    /// outside of cycles.
    previous: Option<Py<PyDict>>,
    workflow_id: Py<PyAny>,
    run_id: Py<PyAny>,
    cycle: Option<CycleInfo>,
}

struct CycleInfo {
    id: Py<PyAny>,
    iteration: i64,
    /// Seconds since the epoch.
    started: f64,
    /// What nodes have asked to be kept, by node id.
    states: Py<PyDict>,
}

/// Of the cycle that a round belongs to, as Python describes it.
type Cycle = (Py<PyAny>, i64, f64, Py<PyDict>);

#[pymethods]
impl Round {
    /// `cycle`: its id, the iteration counted from zero, when the cycle began in
    /// seconds since the epoch, and what nodes have asked to be kept.
    #[new]
    #[pyo3(signature = (state, previous, workflow_id, run_id, cycle=None))]
    fn new(
        state: Py<PyDict>,
        previous: Option<Py<PyDict>>,
        workflow_id: Py<PyAny>,
        run_id: Py<PyAny>,
        cycle: Option<Cycle>,
    ) -> Self {
        Self {
            state,
            previous,
            workflow_id,
            run_id,
            cycle: cycle.map(|(id, iteration, started, states)| CycleInfo {
                id,
                iteration,
                started,
                states,
            }),
        }
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.state)?;
        visit.call(&self.previous)?;
        visit.call(&self.workflow_id)?;
        visit.call(&self.run_id)?;
        if let Some(cycle) = &self.cycle {
            visit.call(&cycle.id)?;
            visit.call(&cycle.states)?;
        }
        Ok(())
    }
}

impl Round {
    /// The `context` that a node is called with. Stock leaves `None` out of it,
    /// at any depth.
    fn context<'py>(
        &self,
        py: Python<'py>,
        program: &WorkflowProgram,
        node: &Node,
    ) -> PyResult<Bound<'py, PyDict>> {
        let context = PyDict::new(py);
        for (name, value) in [
            (intern!(py, "workflow_id"), &self.workflow_id),
            (intern!(py, "run_id"), &self.run_id),
        ] {
            if !value.is_none(py) {
                context.set_item(name, value)?;
            }
        }
        context.set_item(intern!(py, "node_id"), &node.id)?;
        let Some(cycle) = &self.cycle else {
            return Ok(context);
        };
        let elapsed = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0.0, |now| now.as_secs_f64() - cycle.started);
        let info = PyDict::new(py);
        info.set_item(intern!(py, "cycle_id"), &cycle.id)?;
        info.set_item(intern!(py, "iteration"), cycle.iteration)?;
        info.set_item(intern!(py, "elapsed_time"), elapsed)?;
        let kept = match cycle.states.bind(py).get_item(&node.id)? {
            Some(state) if !state.is_none() => program
                .host
                .bind(py)
                .ask(intern!(py, "without_none"), (state,))?,
            _ => PyDict::new(py).into_any(),
        };
        info.set_item(intern!(py, "node_state"), kept)?;
        context.set_item(intern!(py, "cycle"), info)?;
        Ok(context)
    }
}

/// Sets what a mapping finds in an output; nothing where it finds nothing.
fn deliver(
    inputs: &Bound<'_, PyDict>,
    output: &Bound<'_, PyAny>,
    mapping: &Mapping,
) -> PyResult<()> {
    let py = inputs.py();
    if let Some(path) = &mapping.path {
        let mut value = output.clone();
        for part in path {
            let Ok(dict) = value.cast::<PyDict>() else {
                return Ok(());
            };
            if !dict.contains(part)? {
                return Ok(());
            }
            value = dict.as_any().get_item(part)?;
        }
        if !value.is_none() {
            inputs.set_item(&mapping.target_key, value)?;
        }
    } else if let Ok(dict) = output.cast::<PyDict>()
        && dict.contains(&mapping.source_key)?
    {
        let value = dict.as_any().get_item(&mapping.source_key)?;
        inputs.set_item(&mapping.target_key, value)?;
    } else if mapping.source_key.bind(py) == "output" {
        inputs.set_item(&mapping.target_key, output)?;
    }
    Ok(())
}

impl WorkflowProgram {
    fn round(&self) -> PyResult<&Round> {
        self.round
            .as_ref()
            .map(pyo3::Py::get)
            .ok_or_else(|| PySystemError::new_err("a run of a workflow with cycles has no round"))
    }

    /// What a source has left, for the node that the edge leads to.
    fn delivered<'py>(
        &self,
        py: Python<'py>,
        round: &Round,
        edge: &Edge,
        index: u32,
    ) -> Option<Bound<'py, PyAny>> {
        let source = &self.plan.nodes[edge.source as usize].id;
        let left_in = |outputs: &Py<PyDict>| {
            look_up(outputs.bind(py), source).map(|value| value.to_owned().unbind().into_bound(py))
        };
        if edge.is_feedback
            && let Some(previous) = &round.previous
        {
            return left_in(previous);
        }
        if self.stage.comes_before(edge.source, index) {
            // It has run in this round, before this node.
            return left_in(&self.results);
        }
        left_in(&round.state)
    }

    /// Configuration, the caller's parameters, and what sources left, without
    /// `None`; and the context that the node is called with.
    pub(super) fn assemble_for_round<'py>(
        &self,
        py: Python<'py>,
        index: u32,
    ) -> PyResult<(Bound<'py, PyDict>, Bound<'py, PyDict>)> {
        let node = &self.plan.nodes[index as usize];
        let round = self.round()?;
        let inputs = PyDict::new(py);
        for edge in &node.edges {
            let Some(output) = self.delivered(py, round, edge, index) else {
                continue;
            };
            if output.is_none() {
                continue;
            }
            for mapping in &edge.mappings {
                deliver(&inputs, &output, mapping)?;
            }
        }
        let context = round.context(py, self, node)?;
        let merged = node.config.bind(py).copy()?;
        if let Some(parameters) = &self.parameters
            && let Some(own) = parameters.bind(py).get_item(&node.id)?
            && (round.cycle.is_some() || !round.state.bind(py).contains(&node.id)?)
        {
            merged.ask(intern!(py, "update"), (own,))?;
        }
        merged.update(inputs.as_mapping())?;
        let present = PyDict::new(py);
        for (key, value) in merged.iter() {
            if !value.is_none() {
                present.set_item(key, value)?;
            }
        }
        Ok((present, context))
    }

    /// Runs a node of a round.
    pub(super) fn run_in_round<'py>(
        &self,
        py: Python<'py>,
        index: u32,
        node: &Node,
        merged: &Bound<'py, PyDict>,
        context: &Bound<'py, PyDict>,
    ) -> PyResult<Ended<'py>> {
        if node.has_switch_source && !Self::receives_anything(node, merged)? {
            let host = self.host.bind(py);
            host.ask(intern!(py, "skipped_in_round"), (index,))?;
            return Ok(Ended::Skipped);
        }
        let native = RunContext::run_as_if_elsewhere(py, || {
            let ended = self.remote_or_native_in_round(py, index, node, merged, context);
            if let Err(error) = &ended
                && error.is_instance_of::<PyException>(py)
            {
                let host = self.host.bind(py);
                let name = intern!(py, "failed_in_round");
                host.ask(name, (index, exception(py, error)))?;
            }
            ended
        })??;
        if let Some(outputs) = native {
            return Ok(Ended::Output(outputs));
        }
        let host = self.host.bind(py);
        let keywords = host.ask(intern!(py, "round_keywords"), (context, merged))?;
        RunContext::run_as_if_elsewhere(py, || {
            host.ask(intern!(py, "execute_in_round"), (index, keywords))
        })?
        .map(Ended::Output)
    }

    /// A node in another process, or measured, or as [`Self::native_in_round`] has it.
    fn remote_or_native_in_round<'py>(
        &self,
        py: Python<'py>,
        index: u32,
        node: &Node,
        merged: &Bound<'py, PyDict>,
        context: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let here = || self.native_in_round(py, index, node, merged, context);
        let name = intern!(py, "context");
        if self.remote.is_none() || merged.contains(name)? {
            return here();
        }
        let inputs = PyDict::new(py);
        inputs.set_item(name, context)?;
        inputs.update(merged.as_mapping())?;
        match self.run_remote(py, index, node, &inputs, here)? {
            Some(outputs) => Ok(Some(outputs)),
            None => here(),
        }
    }

    /// A node's native program; `None` where it has none, or where its own
    /// `execute` has to decide. Nothing has happened then.
    fn native_in_round<'py>(
        &self,
        py: Python<'py>,
        index: u32,
        node: &Node,
        merged: &Bound<'py, PyDict>,
        context: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let name = intern!(py, "context");
        if self.runs_own_execute(node) || merged.contains(name)? {
            return Ok(None);
        }
        let inputs = PyDict::new(py);
        inputs.set_item(name, context)?;
        inputs.update(merged.as_mapping())?;
        self.run_body(py, index, node, &inputs)
    }

    /// Whether some edge has delivered something, or would have to a name that
    /// has a value anyhow.
    fn receives_anything(node: &Node, merged: &Bound<'_, PyDict>) -> PyResult<bool> {
        for edge in &node.edges {
            for mapping in &edge.mappings {
                if merged.contains(&mapping.target_key)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}
