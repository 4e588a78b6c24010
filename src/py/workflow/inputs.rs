//! Assembling a node's inputs, as `LocalRuntime._prepare_node_inputs` does.

use crate::py::engine::Ask;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::py::errors::exception;
use crate::py::values::{StockFunctions, copy_validated, resolve_templates_copy, sanitize_plain};

use super::node::{Body, Edge, Mapping, Node};
use super::outputs::Kind;
use super::program::{Dialect, WorkflowProgram};

/// Borrowed look-up of a str key in an exact dict.
#[inline]
pub(super) fn look_up<'a>(
    dict: &'a Bound<'_, PyDict>,
    key: &Py<PyString>,
) -> Option<pyo3::Borrowed<'a, 'a, PyAny>> {
    // SAFETY: attached; an exact dict with a str key runs no user code. The
    // borrowed value lives as long as the entry, which its user does not touch.
    unsafe {
        let value = ffi::PyDict_GetItemWithError(dict.as_ptr(), key.as_ptr());
        if value.is_null() {
            None
        } else {
            Some(pyo3::Borrowed::from_ptr(dict.py(), value))
        }
    }
}

/// Follows a mapping into an output; `None` where stock would warn.
fn mapped<'a, 'py>(output: &'a Bound<'py, PyDict>, mapping: &Mapping) -> Option<Bound<'py, PyAny>> {
    let py = output.py();
    let Some(path) = &mapping.path else {
        return look_up(output, &mapping.source_key).map(|v| v.to_owned().unbind().into_bound(py));
    };
    let mut value: Bound<'py, PyAny> = output.clone().into_any();
    for part in path {
        let dict = value.cast_exact::<PyDict>().ok()?;
        let next = look_up(dict, part)?.to_owned().unbind().into_bound(py);
        value = next;
    }
    Some(value)
}

impl WorkflowProgram {
    /// The inputs that `execute` of the node is called with.
    pub(super) fn assemble<'py>(
        &self,
        py: Python<'py>,
        index: u32,
    ) -> PyResult<Bound<'py, PyDict>> {
        if self.dialect == Dialect::Async {
            return self.assemble_for_async(py, index);
        }
        let node = &self.plan.nodes[index as usize];
        let native = if node.stock_inputs || self.settings.stock_inputs {
            None
        } else {
            self.assemble_native(py, node, index)?
        };
        let inputs = match native {
            Some(inputs) => inputs,
            None => self
                .host
                .bind(py)
                .ask(intern!(py, "prepare_inputs"), (index,))?
                .cast_into::<PyDict>()?,
        };
        if self.settings.completes_input_data
            && node.expects_input_data
            && !inputs.contains(intern!(py, "input_data"))?
        {
            inputs.set_item(intern!(py, "input_data"), py.None())?;
        }
        Ok(inputs)
    }

    /// `None` where stock has to decide, or to warn; nothing has happened then.
    fn assemble_native<'py>(
        &self,
        py: Python<'py>,
        node: &Node,
        index: u32,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let inputs = PyDict::new(py);
        // What the body sanitises is copied there.
        let copied_later = matches!(node.body, Body::Code(_));
        let mut left_out = Vec::new();
        for edge in &node.edges {
            if self.kind(edge.source) == Kind::Skipped && carries_results_alone(edge) {
                for mapping in &edge.mappings {
                    if look_up(&inputs, &mapping.target_key).is_none() {
                        inputs.set_item(&mapping.target_key, py.None())?;
                    }
                }
                left_out.push(edge.source);
            } else if self.is_absent(edge) {
                // Stock looks for it among outputs, and passes over it.
            } else if !self.follow(edge, &inputs, copied_later)? {
                return Ok(None);
            }
        }
        if !left_out.is_empty() {
            let host = self.host.bind(py);
            host.ask(intern!(py, "sources_left_out"), (left_out,))?;
        }
        let parameters = self.parameters_of(py, index);
        if let Some(parameters) = &parameters {
            inputs.update(parameters.as_mapping())?;
        }
        if !self.settings.validates_connections {
            return Ok(Some(inputs));
        }
        match &node.body {
            Body::Code(_) => {
                if parameters.is_some() && !inputs.iter().all(|(key, _)| can_be_keyword(&key)) {
                    return self.ask_node_to_validate(node, index, inputs).map(Some);
                }
                match as_validated(node, &inputs, parameters.is_some())? {
                    Some(validated) => Ok(Some(validated)),
                    None => self.ask_node_to_validate(node, index, inputs).map(Some),
                }
            }
            Body::Function(function) => {
                if let Some(validated) = function.validate(node, &inputs)? {
                    return Ok(Some(runtime_part(node, &validated, &inputs)?));
                }
                self.ask_node_to_validate(node, index, inputs).map(Some)
            }
            Body::Generic(generic) => {
                if let Some(validated) = generic.validate(node, &inputs)? {
                    return Ok(Some(runtime_part(node, &validated, &inputs)?));
                }
                self.ask_node_to_validate(node, index, inputs).map(Some)
            }
            Body::Execute | Body::Async => self.ask_node_to_validate(node, index, inputs).map(Some),
        }
    }

    /// A code node's variables straight from its sources: `None` where anything
    /// about them is out of the ordinary, and nothing has happened then.
    pub(super) fn assemble_variables<'py>(
        &self,
        py: Python<'py>,
        node: &Node,
        fixed: &Py<PyDict>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let variables = fixed.bind(py).copy()?;
        for edge in &node.edges {
            if self.kind(edge.source) != Kind::Clean {
                return Ok(None);
            }
            // SAFETY: a node runs after all of its sources.
            let Some(output) = (unsafe { self.slots.get(edge.source) }) else {
                return Ok(None);
            };
            let Ok(output) = output.bind(py).cast_exact::<PyDict>() else {
                return Ok(None);
            };
            for mapping in &edge.mappings {
                let Some(value) = mapped(output, mapping) else {
                    return Ok(None);
                };
                let Some(value) = sanitize_plain(&value)? else {
                    return Ok(None);
                };
                variables.set_item(&mapping.target_key, value)?;
            }
        }
        Ok(Some(variables))
    }

    /// Whether the source has no part in this run, and had none in an earlier one.
    fn is_absent(&self, edge: &Edge) -> bool {
        self.stage.position(edge.source).is_none() && self.kind(edge.source) == Kind::Pending
    }

    fn follow(
        &self,
        edge: &Edge,
        inputs: &Bound<'_, PyDict>,
        copied_later: bool,
    ) -> PyResult<bool> {
        let py = inputs.py();
        if self.kind(edge.source) != Kind::Clean {
            return Ok(false);
        }
        // SAFETY: a node runs after all of its sources.
        let Some(output) = (unsafe { self.slots.get(edge.source) }) else {
            return Ok(false);
        };
        let Ok(output) = output.bind(py).cast_exact::<PyDict>() else {
            return Ok(false);
        };
        for mapping in &edge.mappings {
            let Some(mut value) = mapped(output, mapping) else {
                return Ok(false);
            };
            if !copied_later && value.is_exact_instance_of::<PyDict>() {
                value = copy_validated(&value)?;
            }
            if value.is_none()
                && look_up(inputs, &mapping.target_key).is_some_and(|known| !known.is_none())
            {
                continue;
            }
            inputs.set_item(&mapping.target_key, value)?;
        }
        Ok(true)
    }

    /// Connection validation by the node's own `validate_inputs`.
    fn ask_node_to_validate<'py>(
        &self,
        node: &Node,
        index: u32,
        inputs: Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let py = inputs.py();
        let merged = merge(node.config.bind(py), &inputs)?;
        let validated = node
            .instance
            .bind(py)
            .ask_with(intern!(py, "validate_inputs"), &merged)
            .and_then(|validated| Ok(validated.cast_into::<PyDict>()?));
        match validated {
            Ok(validated) => runtime_part(node, &validated, &inputs),
            // Logged or raised, as the runtime's mode says.
            Err(error) if error.is_instance_of::<pyo3::exceptions::PyException>(py) => {
                let host = self.host.bind(py);
                let name = intern!(py, "connection_invalid");
                let refused = host.ask(name, (index, exception(py, &error)))?;
                if refused.is_none() {
                    Ok(inputs)
                } else {
                    Err(PyErr::from_value(refused))
                }
            }
            Err(error) => Err(error),
        }
    }
}

/// Of a source that was left out stock makes the output `{"result": None}`.
fn carries_results_alone(edge: &Edge) -> bool {
    edge.mappings.iter().all(|mapping| mapping.is_result)
}

/// Whether a call with this key among its keywords reaches a method at all.
pub(super) fn can_be_keyword(key: &Bound<'_, PyAny>) -> bool {
    key.cast_exact::<PyString>()
        .is_ok_and(|key| key.to_str().is_ok_and(|text| text != "self"))
}

/// What is left of a code node's inputs after connection validation: with the
/// entries of a nested `config`, in the order that the configuration imposes.
/// `None` where a key keeps them from being passed to the node at all.
fn as_validated<'py>(
    node: &Node,
    inputs: &Bound<'py, PyDict>,
    has_parameters: bool,
) -> PyResult<Option<Bound<'py, PyDict>>> {
    let py = inputs.py();
    let config = node.config.bind(py);
    let nested = node.has_nested_config || inputs.contains(intern!(py, "config"))?;
    if !nested && !node.edges_override_config {
        let mut overrides = false;
        if has_parameters {
            for key in inputs.keys() {
                overrides = overrides || config.contains(&key)?;
            }
        }
        if !overrides {
            return Ok(Some(inputs.clone()));
        }
    }
    let merged = merge(config, inputs)?;
    if !merged.iter().all(|(key, _)| can_be_keyword(&key)) {
        return Ok(None);
    }
    runtime_part(node, &merged, inputs).map(Some)
}

/// The validated values that did not come from the configuration alone.
fn runtime_part<'py>(
    node: &Node,
    validated: &Bound<'py, PyDict>,
    inputs: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyDict>> {
    let config = node.config.bind(validated.py());
    let kept = PyDict::new(validated.py());
    for (key, value) in validated.iter() {
        if inputs.contains(&key)? || !config.contains(&key)? {
            kept.set_item(key, value)?;
        }
    }
    Ok(kept)
}

/// Configuration and inputs together, with the entries of a nested `config`
/// that no input overrides: the first steps of `Node.execute`.
pub(super) fn merge<'py>(
    config: &Bound<'py, PyDict>,
    inputs: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyDict>> {
    let merged = config.copy()?;
    merged.update(inputs.as_mapping())?;
    expand_nested(&merged, inputs)?;
    Ok(merged)
}

/// The same with templates resolved: first over everything, so that what a nested
/// `config` adds afterwards was resolved as a part of it.
pub(super) fn merge_resolved<'py>(
    config: &Bound<'py, PyDict>,
    inputs: &Bound<'py, PyDict>,
    stock: &StockFunctions,
) -> PyResult<Bound<'py, PyDict>> {
    let merged = config.copy()?;
    merged.update(inputs.as_mapping())?;
    let resolved = PyDict::new(config.py());
    for (key, value) in merged.iter() {
        resolved.set_item(key, resolve_templates_copy(&value, inputs, stock)?)?;
    }
    expand_nested(&resolved, inputs)?;
    Ok(resolved)
}

pub(super) fn expand_nested(
    merged: &Bound<'_, PyDict>,
    inputs: &Bound<'_, PyDict>,
) -> PyResult<()> {
    let Some(nested) = merged.get_item(intern!(merged.py(), "config"))? else {
        return Ok(());
    };
    let Ok(nested) = nested.cast::<PyDict>() else {
        return Ok(());
    };
    for (key, value) in nested.iter() {
        if !inputs.contains(&key)? {
            merged.set_item(key, value)?;
        }
    }
    Ok(())
}
