//! A node of any class that has stock's own `execute`: inputs and outputs are checked here,
//! and its `run` is called in between.

use std::sync::Arc;

use pyo3::exceptions::PyKeyError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::py::engine::Ask;
use crate::py::values::StockFunctions;

use super::inputs::{can_be_keyword, merge, merge_resolved};
use super::node::{Node, Shared, traverse_unshared};
use super::outputs::all_serializable;
use super::program::WorkflowProgram;
use super::switch::SwitchBody;
use super::validation::Validation;
use super::variables::SetVariable;

/// An output that the node's schema names.
struct DeclaredOutput {
    name: Py<PyString>,
    /// `None` stands for `typing.Any`.
    class: Option<Py<PyAny>>,
    required: bool,
}

type Declaration = (Py<PyString>, Option<Py<PyAny>>, bool);

pub(super) struct GenericBody {
    /// `None` where the class validates inputs in a way of its own.
    validation: Option<Validation>,
    /// The schema of outputs; `None` where the node's own method checks them.
    outputs: Option<Vec<DeclaredOutput>>,
    /// With this input, the node's own `execute` does something else.
    refuses: Option<Py<PyString>>,
    /// The context variable that names the node that runs.
    current_node: Py<PyAny>,
    /// The node is one of Kailash's own switches.
    switch: Option<SwitchBody>,
    stock: Arc<StockFunctions>,
}

impl GenericBody {
    pub(super) fn from_spec(spec: &Bound<'_, PyDict>, shared: &mut Shared) -> PyResult<Self> {
        let get = |key: &str| -> PyResult<Bound<'_, PyAny>> {
            spec.get_item(key)?
                .ok_or_else(|| PyKeyError::new_err(format!("a generic node lacks {key:?}")))
        };
        let validation: Option<Bound<'_, PyDict>> = get("validation")?.extract()?;
        let outputs: Option<Vec<Declaration>> = get("outputs")?.extract()?;
        Ok(Self {
            validation: validation
                .map(|spec| Validation::from_spec(&spec))
                .transpose()?,
            outputs: outputs.map(|outputs| {
                outputs
                    .into_iter()
                    .map(|(name, class, required)| DeclaredOutput {
                        name,
                        class,
                        required,
                    })
                    .collect()
            }),
            refuses: get("refuses")?.extract()?,
            current_node: get("current_node")?.unbind(),
            switch: get("is_switch")?.is_truthy()?.then(SwitchBody::new),
            stock: shared.stock_functions(get("stock")?.cast()?)?,
        })
    }

    /// `validate_inputs` of configuration and `inputs`; `None` where the node's
    /// own method has to decide. Nothing has happened then.
    pub(super) fn validate<'py>(
        &self,
        node: &Node,
        inputs: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        match &self.validation {
            Some(validation) => {
                let merged = merge(node.config.bind(inputs.py()), inputs)?;
                validation.validate(node, &merged)
            }
            None => Ok(None),
        }
    }

    /// Runs the node. `Ok(None)` hands the call to the node's own `execute`;
    /// nothing has happened then.
    pub(super) fn run<'py>(
        &self,
        program: &WorkflowProgram,
        node: &Node,
        index: u32,
        inputs: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = inputs.py();
        if let Some(name) = &self.refuses
            && inputs.contains(name)?
        {
            return Ok(None);
        }
        if !inputs.iter().all(|(key, _)| can_be_keyword(&key)) {
            return Ok(None);
        }
        self.run_between_checks(program, node, index, inputs)
            .map(Some)
            .map_err(|error| program.ask_host(py, "execution_failed", index, error))
    }

    /// What `Node.execute` has inside its `try`.
    fn run_between_checks<'py>(
        &self,
        program: &WorkflowProgram,
        node: &Node,
        index: u32,
        inputs: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = inputs.py();
        let instance = node.instance.bind(py);
        let began = program.log_executing(py, index)?;
        let resolved = merge_resolved(node.config.bind(py), inputs, &self.stock)?;
        let native = match &self.validation {
            Some(validation) => validation.validate(node, &resolved)?,
            None => None,
        };
        let validated = match native {
            Some(validated) => validated.into_any(),
            None => instance.ask_with(intern!(py, "validate_inputs"), &resolved)?,
        };
        let routed = match (&self.switch, validated.cast_exact::<PyDict>()) {
            (Some(switch), Ok(validated)) => switch.run(instance, validated)?,
            _ => None,
        };
        let outputs = if let Some(routed) = routed {
            routed
        } else {
            let _named = self.name_current(instance)?;
            if let Ok(validated) = validated.cast_exact::<PyDict>() {
                instance.ask_with(intern!(py, "run"), validated)?
            } else {
                let host = program.host.bind(py);
                host.ask(intern!(py, "run_with"), (index, validated))?
            }
        };
        let checked = match self.check(&outputs)? {
            Some(checked) => checked,
            None => instance.ask(intern!(py, "validate_outputs"), (outputs,))?,
        };
        program.log_executed(py, index, began)?;
        Ok(checked)
    }

    /// Names the node for `report_progress` until the guard is dropped.
    fn name_current<'py>(&self, instance: &Bound<'py, PyAny>) -> PyResult<SetVariable<'py>> {
        let py = instance.py();
        let id = instance.getattr(intern!(py, "id"))?;
        SetVariable::new(self.current_node.bind(py), &id)
    }

    /// Outputs that are surely as the schema wants them, and JSON. `None` where
    /// the node's own method has to look.
    fn check<'py>(&self, outputs: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (Some(schema), Ok(dict)) = (&self.outputs, outputs.cast_exact::<PyDict>()) else {
            return Ok(None);
        };
        if !all_serializable(dict) {
            return Ok(None);
        }
        if schema.is_empty() {
            return Ok(Some(outputs.clone()));
        }
        let py = outputs.py();
        let ordered = PyDict::new(py);
        for output in schema {
            match dict.get_item(&output.name)? {
                None if output.required => return Ok(None),
                None => {}
                Some(value) if value.is_none() && !output.required => {}
                Some(value) if value.is_none() => ordered.set_item(&output.name, value)?,
                Some(value) => {
                    if let Some(class) = &output.class
                        && !value.is_instance(class.bind(py))?
                    {
                        return Ok(None);
                    }
                    ordered.set_item(&output.name, value)?;
                }
            }
        }
        for (key, value) in dict.iter() {
            if !ordered.contains(&key)? {
                ordered.set_item(key, value)?;
            }
        }
        Ok(Some(ordered.into_any()))
    }

    pub(super) fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        if let Some(validation) = &self.validation {
            validation.traverse(visit)?;
        }
        for output in self.outputs.iter().flatten() {
            visit.call(&output.class)?;
        }
        visit.call(&self.current_node)?;
        traverse_unshared(&self.stock, visit)
    }
}
