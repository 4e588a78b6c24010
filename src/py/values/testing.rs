//! `_core._values`: the functions of this module, callable from Python, so that
//! tests can compare them with Kailash's own.

use super::{
    StockFunctions, Verdict, copy_validated, ensure_json_serializable, is_json_serializable,
    output_is_clean, resolve_and_sanitize, resolve_and_sanitize_parameters, resolve_templates_copy,
    sanitize, sanitize_parameters, validate_node_output, write_json,
};
use pyo3::{
    PyTraverseError, PyVisit,
    prelude::*,
    types::{PyBytes, PyDict},
};

/// Stock's functions, and beside them ours that fall back on them.
#[pyclass(frozen, module = "nexus_core._core._values")]
struct Stock(StockFunctions);

#[pymethods]
impl Stock {
    #[new]
    fn new(functions: &Bound<'_, PyDict>) -> PyResult<Self> {
        StockFunctions::from_dict(functions).map(Self)
    }

    fn resolve_and_sanitize<'py>(
        &self,
        value: &Bound<'py, PyAny>,
        runtime_inputs: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        resolve_and_sanitize(value, runtime_inputs, &self.0)
    }

    fn resolve_templates<'py>(
        &self,
        value: &Bound<'py, PyAny>,
        runtime_inputs: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        resolve_templates_copy(value, runtime_inputs, &self.0)
    }

    fn sanitize<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        sanitize(value, &self.0)
    }

    fn sanitize_parameters<'py>(
        &self,
        parameters: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        sanitize_parameters(parameters, &self.0)
    }

    fn resolve_and_sanitize_parameters<'py>(
        &self,
        parameters: &Bound<'py, PyDict>,
        runtime_inputs: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        resolve_and_sanitize_parameters(parameters, runtime_inputs, &self.0)
    }

    fn validate_node_output<'py>(
        &self,
        node_id: &Bound<'py, PyAny>,
        output: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        validate_node_output(node_id, output, &self.0)
    }

    fn ensure_json_serializable<'py>(
        &self,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        ensure_json_serializable(value, self.0.ensure_json_serializable(value.py()))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.traverse(&visit)
    }
}

/// `True` where `json.dumps(value)` surely succeeds, `False` for "ask Python".
#[pyfunction(name = "is_json_serializable")]
fn is_json_serializable_py(value: &Bound<'_, PyAny>) -> bool {
    is_json_serializable(value) == Verdict::Yes
}

/// `prefix` and the text of `json.dumps(value)`, or `prefix` alone for "ask Python".
#[pyfunction(name = "write_json")]
fn write_json_py<'py>(value: &Bound<'py, PyAny>, prefix: &[u8]) -> (bool, Bound<'py, PyBytes>) {
    let mut out = prefix.to_vec();
    let verdict = write_json(value, &mut out);
    (verdict == Verdict::Yes, PyBytes::new(value.py(), &out))
}

#[pyfunction(name = "output_is_clean")]
fn output_is_clean_py(output: &Bound<'_, PyDict>) -> bool {
    output_is_clean(output)
}

#[pyfunction(name = "copy_validated")]
fn copy_validated_py<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    copy_validated(value)
}

/// Adds the submodule `_values`.
pub fn register_testing(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let values = PyModule::new(module.py(), "_values")?;
    values.add_class::<Stock>()?;
    values.add_function(wrap_pyfunction!(is_json_serializable_py, &values)?)?;
    values.add_function(wrap_pyfunction!(write_json_py, &values)?)?;
    values.add_function(wrap_pyfunction!(output_is_clean_py, &values)?)?;
    values.add_function(wrap_pyfunction!(copy_validated_py, &values)?)?;
    module.add_submodule(&values)
}
