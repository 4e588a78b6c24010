//! Assembling a node's inputs, as `AsyncLocalRuntime._prepare_sync_node_inputs`
//! and `_prepare_async_node_inputs` do.
//!
//! Parameters first: those of the workflow as a whole, and the node's own. Then
//! the edges, which pass values on as they are: `result` stands for the whole
//! output, a dotted key that leads nowhere for `None`, and a key that is missing
//! for the whole output again.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::py::values::sanitize_plain;

use super::code::is_plain_parameter;
use super::inputs::{can_be_keyword, look_up};
use super::node::{Mapping, Node};
use super::outputs::Kind;
use super::program::WorkflowProgram;

/// `container[key]`, if it is a dict that has it.
fn entry<'py>(
    container: &Bound<'py, PyAny>,
    key: &Py<PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = container.py();
    if let Ok(exact) = container.cast_exact::<PyDict>() {
        return Ok(look_up(exact, key).map(|value| value.to_owned().unbind().into_bound(py)));
    }
    if container.is_instance_of::<PyDict>() && container.contains(key)? {
        return container.get_item(key).map(Some);
    }
    Ok(None)
}

/// What an edge passes on of its source's output.
fn passed_on<'py>(output: &Bound<'py, PyAny>, mapping: &Mapping) -> PyResult<Bound<'py, PyAny>> {
    let py = output.py();
    if mapping.is_result {
        return Ok(output.clone());
    }
    let Some(path) = &mapping.path else {
        return Ok(entry(output, &mapping.source_key)?.unwrap_or_else(|| output.clone()));
    };
    if !output.is_instance_of::<PyDict>() {
        return Ok(output.clone());
    }
    let mut path = path.as_slice();
    if let Some(rest) = &mapping.after_result
        && !output.contains(intern!(py, "result"))?
    {
        if let Some(value) = entry(output, rest)? {
            return Ok(value);
        }
        path = &path[1..];
    }
    let mut value = output.clone();
    for part in path {
        match entry(&value, part)? {
            Some(inner) => value = inner,
            None => return Ok(py.None().into_bound(py)),
        }
    }
    Ok(value)
}

impl WorkflowProgram {
    /// Whether a run's parameters are simple: for all nodes alike, and under names
    /// that sanitising leaves alone.
    pub(super) fn are_simple(&self, py: Python<'_>) -> bool {
        let Some(parameters) = &self.parameters else {
            return true;
        };
        let ids = self.plan.ids.bind(py);
        parameters.bind(py).iter().all(|(key, value)| {
            can_be_keyword(&key)
                && is_plain_parameter(&key, &value)
                && !ids.contains(&key).unwrap_or(true)
        })
    }

    /// The inputs that a node is executed with.
    pub(super) fn assemble_for_async<'py>(
        &self,
        py: Python<'py>,
        index: u32,
    ) -> PyResult<Bound<'py, PyDict>> {
        let node = &self.plan.nodes[index as usize];
        if !node.stock_async_inputs {
            let inputs = PyDict::new(py);
            if self.add_parameters(node, &inputs)? {
                self.add_edges(node, &inputs)?;
                return Ok(inputs);
            }
        }
        self.host
            .bind(py)
            .ask(intern!(py, "prepare_inputs"), (index,))?
            .cast_into::<PyDict>()
            .map_err(Into::into)
    }

    /// `false` where stock has something to say about a parameter.
    fn add_parameters(&self, node: &Node, inputs: &Bound<'_, PyDict>) -> PyResult<bool> {
        let py = inputs.py();
        let Some(parameters) = &self.parameters else {
            return Ok(true);
        };
        let ids = self.plan.ids.bind(py);
        for (key, value) in parameters.bind(py).iter() {
            if key.eq(&node.id)? {
                let Ok(own) = value.cast::<PyDict>() else {
                    return Ok(false);
                };
                inputs.update(own.as_mapping())?;
            } else if !ids.contains(&key)? {
                inputs.set_item(key, value)?;
            }
        }
        Ok(true)
    }

    fn add_edges(&self, node: &Node, inputs: &Bound<'_, PyDict>) -> PyResult<()> {
        let py = inputs.py();
        for edge in &node.edges {
            // SAFETY: a node runs after all of its sources.
            let Some(output) = (unsafe { self.slots.get(edge.source) }) else {
                continue;
            };
            for mapping in &edge.mappings {
                inputs.set_item(&mapping.target_key, passed_on(output.bind(py), mapping)?)?;
            }
        }
        Ok(())
    }

    /// A code node's variables straight from parameters and sources: `None` where
    /// anything about them is out of the ordinary, and nothing has happened then.
    pub(super) fn variables_for_async<'py>(
        &self,
        py: Python<'py>,
        node: &Node,
        fixed: &Py<PyDict>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        if node.stock_async_inputs || !self.simple_parameters {
            return Ok(None);
        }
        let variables = fixed.bind(py).copy()?;
        if let Some(parameters) = &self.parameters {
            for (key, value) in parameters.bind(py).iter() {
                let Some(value) = sanitize_plain(&value)? else {
                    return Ok(None);
                };
                variables.set_item(key, value)?;
            }
        }
        for edge in &node.edges {
            if self.kind(edge.source) == Kind::Skipped {
                return Ok(None);
            }
            // SAFETY: a node runs after all of its sources.
            let Some(output) = (unsafe { self.slots.get(edge.source) }) else {
                return Ok(None);
            };
            for mapping in &edge.mappings {
                let value = passed_on(output.bind(py), mapping)?;
                let Some(value) = sanitize_plain(&value)? else {
                    return Ok(None);
                };
                variables.set_item(&mapping.target_key, value)?;
            }
        }
        Ok(Some(variables))
    }
}
