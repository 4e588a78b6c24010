//! `PythonCodeNode` made from a function or a class, as `FunctionWrapper` and
//! `ClassWrapper` run it: the signature is read once, when the plan is made.

use std::sync::Arc;

use crate::py::engine::Ask;
use pyo3::exceptions::PyKeyError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::py::values::{StockFunctions, ensure_json_serializable};

use super::inputs::merge_resolved;
use super::node::{Node, Shared, traverse_unshared};
use super::outputs::all_serializable;
use super::program::WorkflowProgram;
use super::validation::Validation;

struct Parameter {
    name: Py<PyString>,
    has_default: bool,
}

pub(super) struct FunctionBody {
    /// The function, or the class whose method is called.
    target: Py<PyAny>,
    method: Option<Py<PyString>>,
    parameters: Vec<Parameter>,
    takes_any_keyword: bool,
    /// `None` where the node's own method validates.
    validation: Option<Validation>,
    default_schema: bool,
    stock: Arc<StockFunctions>,
}

impl FunctionBody {
    pub(super) fn from_spec(spec: &Bound<'_, PyDict>, shared: &mut Shared) -> PyResult<Self> {
        let get = |key: &str| -> PyResult<Bound<'_, PyAny>> {
            spec.get_item(key)?
                .ok_or_else(|| PyKeyError::new_err(format!("a function node lacks {key:?}")))
        };
        let parameters: Vec<(Py<PyString>, bool)> = get("parameters")?.extract()?;
        let validation: Option<Bound<'_, PyDict>> = get("validation")?.extract()?;
        Ok(Self {
            target: get("target")?.unbind(),
            method: get("method")?.extract()?,
            parameters: parameters
                .into_iter()
                .map(|(name, has_default)| Parameter { name, has_default })
                .collect(),
            takes_any_keyword: get("takes_any_keyword")?.extract()?,
            validation: validation
                .map(|spec| Validation::from_spec(&spec))
                .transpose()?,
            default_schema: get("default_schema")?.extract()?,
            stock: shared.stock_functions(get("stock")?.cast()?)?,
        })
    }

    /// `PythonCodeNode.validate_inputs` of configuration and `inputs`; `None`
    /// where the node's own method has to decide. Nothing has happened then.
    pub(super) fn validate<'py>(
        &self,
        node: &Node,
        inputs: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let py = inputs.py();
        let merged = super::inputs::merge(node.config.bind(py), inputs)?;
        self.validate_merged(node, &merged)
    }

    fn validate_merged<'py>(
        &self,
        node: &Node,
        merged: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        if self.takes_any_keyword {
            return Ok(can_be_keywords(merged).then(|| merged.clone()));
        }
        match &self.validation {
            Some(validation) => validation.validate(node, merged),
            None => Ok(None),
        }
    }

    /// Runs the node. `Ok(None)` hands the call to the node's own `execute`.
    pub(super) fn run<'py>(
        &self,
        program: &WorkflowProgram,
        node: &Node,
        index: u32,
        inputs: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = inputs.py();
        let resolved = merge_resolved(node.config.bind(py), inputs, &self.stock)?;
        let Some(validated) = self.validate_merged(node, &resolved)? else {
            return Ok(None);
        };
        let sanitized = match program.sanitize(index, &validated, &self.stock) {
            Ok(sanitized) => sanitized.values,
            Err(error) => return Err(program.ask_host(py, "input_refused", index, error)),
        };
        let outputs = match self.call(program, py, index, &sanitized) {
            Ok(value) => self.wrap(&value)?,
            Err(error) => return Err(error),
        };
        let outputs = match outputs.cast_exact::<PyDict>() {
            Ok(outputs) if self.default_schema && all_serializable(outputs) => {
                return result_first(outputs).map(|outputs| Some(outputs.into_any()));
            }
            _ => outputs,
        };
        let instance = node.instance.bind(py);
        match instance.ask(intern!(py, "validate_outputs"), (outputs,)) {
            Ok(checked) => Ok(Some(checked)),
            Err(error) => Err(program.ask_host(py, "execution_failed", index, error)),
        }
    }

    fn call<'py>(
        &self,
        program: &WorkflowProgram,
        py: Python<'py>,
        index: u32,
        sanitized: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut callable = self.target.bind(py).clone();
        if let Some(method) = &self.method {
            let instance = callable
                .invoke(())
                .map_err(|error| program.ask_host(py, "instance_failed", index, error))?;
            callable = instance
                .getattr(method)
                .map_err(|error| program.ask_host(py, "execution_failed", index, error))?;
        }
        let keywords = PyDict::new(py);
        for parameter in &self.parameters {
            match sanitized.get_item(&parameter.name)? {
                Some(value) => keywords.set_item(&parameter.name, value)?,
                None if parameter.has_default => {}
                None => {
                    let host = program.host.bind(py);
                    let name = intern!(py, "parameter_missing");
                    return match host.ask(name, (index, &parameter.name)) {
                        Ok(error) => Err(PyErr::from_value(error)),
                        Err(broken) => Err(broken),
                    };
                }
            }
        }
        if self.takes_any_keyword {
            for (key, value) in sanitized.iter() {
                if !keywords.contains(&key)? {
                    keywords.set_item(key, value)?;
                }
            }
        }
        callable
            .invoke_with(&keywords)
            .map_err(|error| program.ask_host(py, "function_failed", index, error))
    }

    /// What the wrapper makes of a returned value.
    fn wrap<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = value.py();
        let fallback = self.stock.ensure_json_serializable(py);
        let value = ensure_json_serializable(value, fallback)?;
        let result = intern!(py, "result");
        let as_it_is = match value.cast::<PyDict>() {
            Ok(_) if self.method.is_some() => true,
            Ok(dict) => dict.len() == 1 && dict.contains(result)?,
            Err(_) => false,
        };
        if as_it_is {
            return Ok(value);
        }
        let wrapped = PyDict::new(py);
        wrapped.set_item(result, value)?;
        Ok(wrapped.into_any())
    }

    pub(super) fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.target)?;
        if let Some(validation) = &self.validation {
            validation.traverse(visit)?;
        }
        traverse_unshared(&self.stock, visit)
    }
}

/// The order that stock's check of the output schema leaves: `result` before
/// the others, unless it is `None`.
fn result_first<'py>(outputs: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyDict>> {
    let py = outputs.py();
    let key = intern!(py, "result");
    let ordered = PyDict::new(py);
    if let Some(result) = outputs.get_item(key)?
        && !result.is_none()
    {
        ordered.set_item(key, result)?;
    }
    for (key, value) in outputs.iter() {
        if !ordered.contains(&key)? {
            ordered.set_item(key, value)?;
        }
    }
    Ok(ordered)
}

/// Whether a call with these keywords reaches the method at all.
fn can_be_keywords(values: &Bound<'_, PyDict>) -> bool {
    values.iter().all(|(key, _)| {
        key.cast_exact::<PyString>().is_ok_and(|key| {
            key.to_str()
                .is_ok_and(|text| text != "self" && !text.starts_with('_'))
        })
    })
}
