//! The functions of Kailash that decide what is not decided natively.

use crate::py::engine::Ask;
use pyo3::{PyTraverseError, PyVisit, exceptions::PyKeyError, prelude::*, types::PyDict};

/// Stock callables, handed in from Python: nothing here imports Kailash.
pub struct StockFunctions {
    resolve_templates: Py<PyAny>,
    sanitize_input: Py<PyAny>,
    validate_node_output: Py<PyAny>,
    ensure_json_serializable: Py<PyAny>,
    /// What `sanitize_input` is called with beside the value.
    sanitize_keywords: Py<PyDict>,
}

impl StockFunctions {
    /// Takes the callables by the names of the fields from `functions`.
    ///
    /// An optional entry `config` is the `SecurityConfig` that `sanitize_input`
    /// is to use; without it, or where it is `None`, stock takes the one that is
    /// current when it is called.
    pub fn from_dict(functions: &Bound<'_, PyDict>) -> PyResult<Self> {
        let py = functions.py();
        let named = |name: &str| -> PyResult<Py<PyAny>> {
            functions.get_item(name)?.map(Bound::unbind).ok_or_else(|| {
                PyKeyError::new_err(format!("the stock function {name:?} is missing"))
            })
        };
        let sanitize_keywords = PyDict::new(py);
        sanitize_keywords.set_item("context", "python_exec")?;
        if let Some(config) = functions.get_item("config")? {
            sanitize_keywords.set_item("config", config)?;
        }
        Ok(Self {
            resolve_templates: named("resolve_templates")?,
            sanitize_input: named("sanitize_input")?,
            validate_node_output: named("validate_node_output")?,
            ensure_json_serializable: named("ensure_json_serializable")?,
            sanitize_keywords: sanitize_keywords.unbind(),
        })
    }

    /// Stock's `resolve_templates(value, runtime_inputs)`.
    pub fn resolve_templates<'py>(
        &self,
        value: &Bound<'py, PyAny>,
        runtime_inputs: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.resolve_templates
            .bind(value.py())
            .invoke((value, runtime_inputs))
    }

    /// Stock's `sanitize_input(value, context="python_exec")`.
    pub fn sanitize_input<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = value.py();
        self.sanitize_input
            .bind(py)
            .call((value,), Some(self.sanitize_keywords.bind(py)))
    }

    /// Stock's `DataTypeValidator.validate_node_output(node_id, output)`.
    pub fn validate_node_output<'py>(
        &self,
        node_id: &Bound<'py, PyAny>,
        output: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.validate_node_output
            .bind(output.py())
            .invoke((node_id, output))
    }

    /// Stock's `FunctionWrapper._ensure_json_serializable`, bound to a wrapper.
    pub fn ensure_json_serializable<'a, 'py>(&'a self, py: Python<'py>) -> &'a Bound<'py, PyAny> {
        self.ensure_json_serializable.bind(py)
    }

    /// For the `__traverse__` of the class that holds this.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.resolve_templates)?;
        visit.call(&self.sanitize_input)?;
        visit.call(&self.validate_node_output)?;
        visit.call(&self.ensure_json_serializable)?;
        visit.call(&self.sanitize_keywords)
    }
}
