//! `PythonCodeNode` with a code string, as `CodeExecutor.execute_code` runs it.
//!
//! The safety check and the compilation were done once, when the plan was made.
//! Everything that could carry something from one execution to the next is made
//! anew each time: the namespace, its builtins, the variables.

use std::sync::Arc;

use pyo3::exceptions::{PyMemoryError, PySystemError};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule, PyString};

use crate::py::engine::{Ask, eval_code};
use crate::py::values::{StockFunctions, resolve_and_sanitize};

use super::inputs::{can_be_keyword, merge_resolved};
use super::node::{Node, Shared, traverse_unshared};
use super::outputs::all_serializable;
use super::program::{Dialect, WorkflowProgram};
use super::spare::Builtins;

pub(super) struct CodeBody {
    code: Py<PyAny>,
    /// Modules that the code names, and Kailash's helper functions.
    namespace: Py<PyDict>,
    builtins: Arc<Builtins>,
    /// The configuration as local variables, where it never depends on inputs.
    static_locals: Option<Py<PyDict>>,
    names_context: bool,
    /// The code may reach its variables as a dict and put other keys than names
    /// into it.
    odd_names: bool,
    /// The function to call once the code has run.
    function: Option<Py<PyString>>,
    /// What stands in for the configuration among the variables.
    own_config: Option<Py<PyDict>>,
    /// Seconds after which stock reports a time-out.
    timeout: f64,
    default_schema: bool,
    stock: Arc<StockFunctions>,
}

/// A node's variables before they are sanitised.
enum Resolved<'py> {
    /// The configuration, which needs nothing; the inputs are still to come.
    Fixed(Bound<'py, PyDict>),
    /// Configuration and inputs.
    All(Bound<'py, PyDict>),
}

/// A node's variables.
pub(super) struct Sanitized<'py> {
    pub(super) values: Bound<'py, PyDict>,
    /// Stock's own function did it, and has logged that.
    pub(super) is_told: bool,
}

impl CodeBody {
    pub(super) fn from_spec(spec: &Bound<'_, PyDict>, shared: &mut Shared) -> PyResult<Self> {
        let get = |key: &str| -> PyResult<Bound<'_, PyAny>> {
            spec.get_item(key)?.ok_or_else(|| {
                pyo3::exceptions::PyKeyError::new_err(format!("a code node lacks {key:?}"))
            })
        };
        let template: Py<PyDict> = get("builtins")?.extract()?;
        let is_live = get("builtins_are_live")?.extract()?;
        Ok(Self {
            code: get("code")?.unbind(),
            namespace: get("namespace")?.extract()?,
            builtins: shared.builtins(template, is_live),
            static_locals: get("static_locals")?.extract()?,
            names_context: get("names_context")?.extract()?,
            odd_names: get("odd_names")?.extract()?,
            function: get("function")?.extract()?,
            own_config: get("own_config")?.extract()?,
            timeout: get("timeout")?.extract()?,
            default_schema: get("default_schema")?.extract()?,
            stock: shared.stock_functions(get("stock")?.cast()?)?,
        })
    }

    /// Runs the node. `Ok(None)` hands the call to the node's own `execute`;
    /// nothing has happened then.
    pub(super) fn run<'py>(
        &self,
        program: &WorkflowProgram,
        node: &Node,
        index: u32,
        inputs: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let py = inputs.py();
        if !inputs.iter().all(|(key, _)| can_be_keyword(&key)) {
            return Ok(None);
        }
        let resolved = self.resolved(node, inputs);
        if matches!(resolved, Ok(None)) {
            return Ok(None);
        }
        let began = program.log_executing(py, index)?;
        let sanitized = resolved.and_then(|resolved| match resolved {
            Some(resolved) => self.sanitized(program, index, inputs, resolved),
            None => Err(PySystemError::new_err("a node without variables goes on")),
        });
        let variables = match sanitized {
            Ok(variables) => variables,
            // Raised by stock's sanitiser: reported as stock's `run` does.
            Err(error) => return Err(program.ask_host(py, "input_refused", index, error)),
        };
        if !variables.is_told {
            program.log_validated(py, index, &variables.values)?;
        }
        let variables = variables.values;
        let outputs = self.run_with(program, node, index, &variables)?;
        program.log_executed(py, index, began)?;
        Ok(Some(outputs))
    }

    /// Runs the node with inputs taken straight from its sources, where they are
    /// ordinary. `Ok(None)` otherwise; nothing has happened then.
    pub(super) fn run_plain<'py>(
        &self,
        program: &WorkflowProgram,
        py: Python<'py>,
        node: &Node,
        index: u32,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some(fixed) = &self.static_locals else {
            return Ok(None);
        };
        if !node.plain_edges || node.has_switch_source {
            return Ok(None);
        }
        let variables = match program.dialect {
            Dialect::Local if node.stock_inputs => None,
            Dialect::Local => program.assemble_variables(py, node, fixed)?,
            Dialect::Async => program.variables_for_async(py, node, fixed)?,
            // Called with a context too.
            Dialect::Cyclic => None,
        };
        match variables {
            Some(variables) => self.run_with(program, node, index, &variables).map(Some),
            None => Ok(None),
        }
    }

    fn run_with<'py>(
        &self,
        program: &WorkflowProgram,
        node: &Node,
        index: u32,
        variables: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let py = variables.py();
        let builtins = self.builtins.lend(py)?;
        let namespace = self.fresh_namespace(program, &builtins.dict)?;
        let started = program.clock.now(self.timeout);
        let outcome = match &self.function {
            None => evaluate(&self.code, &namespace, variables),
            Some(name) => self
                .call_function(program, &namespace, variables, name)
                .and_then(|value| {
                    variables.clear();
                    variables.set_item(intern!(py, "result"), value)
                }),
        };
        // Before anything is allocated to tell of it.
        let exhausted = outcome
            .as_ref()
            .is_err_and(|error| error.is_instance_of::<PyMemoryError>(py));
        let _relief = exhausted.then(|| {
            variables.clear();
            program.relieve(py)
        });
        drop(namespace);
        self.builtins.take_back(builtins);
        let elapsed = program.clock.since(started, self.timeout);
        if elapsed.is_some() || outcome.is_err() {
            let error = outcome.as_ref().err();
            return Err(program.code_failed(py, index, error, elapsed)?);
        }
        let outputs = match exported(variables, self.odd_names) {
            Ok(outputs) => outputs,
            Err(error) => return Err(program.code_failed(py, index, Some(&error), None)?),
        };
        if self.default_schema && all_serializable(&outputs) {
            return Ok(outputs);
        }
        let checked = node
            .instance
            .bind(py)
            .ask(intern!(py, "validate_outputs"), (outputs,));
        match checked {
            Ok(checked) => Ok(checked.cast_into()?),
            Err(error) => Err(program.ask_host(py, "execution_failed", index, error)),
        }
    }

    /// Configuration and inputs before they are sanitised; `None` where a nested
    /// configuration holds a key that no keyword can have.
    fn resolved<'py>(
        &self,
        node: &Node,
        inputs: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Resolved<'py>>> {
        let py = inputs.py();
        if let Some(fixed) = &self.static_locals
            && inputs
                .iter()
                .all(|(key, value)| is_plain_parameter(&key, &value))
        {
            return Ok(Some(Resolved::Fixed(fixed.bind(py).copy()?)));
        }
        let config = self.own_config.as_ref().unwrap_or(&node.config);
        let resolved = merge_resolved(config.bind(py), inputs, &self.stock)?;
        if !resolved.iter().all(|(key, _)| can_be_keyword(&key)) {
            return Ok(None);
        }
        Ok(Some(Resolved::All(resolved)))
    }

    fn sanitized<'py>(
        &self,
        program: &WorkflowProgram,
        index: u32,
        inputs: &Bound<'py, PyDict>,
        resolved: Resolved<'py>,
    ) -> PyResult<Sanitized<'py>> {
        match resolved {
            Resolved::Fixed(values) => {
                for (key, value) in inputs.iter() {
                    values.set_item(key, resolve_and_sanitize(&value, inputs, &self.stock)?)?;
                }
                Ok(Sanitized {
                    values,
                    is_told: false,
                })
            }
            Resolved::All(values) => program.sanitize(index, &values, &self.stock),
        }
    }

    fn fresh_namespace<'py>(
        &self,
        program: &WorkflowProgram,
        builtins: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let py = builtins.py();
        let namespace = self.namespace.bind(py).copy()?;
        namespace.set_item(intern!(py, "__builtins__"), builtins)?;
        if self.names_context && program.dialect == Dialect::Local {
            let (get, set) = program.context_functions(py)?;
            namespace.set_item(intern!(py, "get_workflow_context"), get)?;
            namespace.set_item(intern!(py, "set_workflow_context"), set)?;
        }
        Ok(namespace)
    }

    /// Runs the code for its definitions and calls the named function.
    fn call_function<'py>(
        &self,
        program: &WorkflowProgram,
        namespace: &Bound<'py, PyDict>,
        inputs: &Bound<'py, PyDict>,
        name: &Py<PyString>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = namespace.py();
        evaluate(&self.code, namespace, namespace)?;
        let host = program.host.bind(py);
        let function = namespace.get_item(name)?;
        host.ask(
            intern!(py, "call_named_function"),
            (name, function, namespace, inputs),
        )
    }

    pub(super) fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.namespace)?;
        if Arc::strong_count(&self.builtins) == 1 {
            self.builtins.traverse(visit)?;
        }
        visit.call(&self.static_locals)?;
        visit.call(&self.own_config)?;
        traverse_unshared(&self.stock, visit)
    }
}

/// Whether neither the key has to be sanitised, nor the value validated as a
/// path, nor expanded as a nested configuration.
pub(super) fn is_plain_parameter(key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> bool {
    let Ok(text) = key
        .cast_exact::<PyString>()
        .map_err(|_| ())
        .and_then(|key| key.to_str().map_err(|_| ()))
    else {
        return false;
    };
    let bytes = text.as_bytes();
    if text == "config" || bytes.len() > 200 || bytes.iter().any(|byte| b"<:".contains(byte)) {
        return false;
    }
    let is_path = bytes
        .windows(4)
        .any(|four| four.eq_ignore_ascii_case(b"path") || four.eq_ignore_ascii_case(b"file"));
    !is_path || is_scalar(value)
}

fn is_scalar(value: &Bound<'_, PyAny>) -> bool {
    use pyo3::types::{PyBool, PyFloat, PyInt, PyList};
    value.is_none()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyDict>()
        || value.is_exact_instance_of::<PyList>()
}

fn evaluate(
    code: &Py<PyAny>,
    globals: &Bound<'_, PyDict>,
    locals: &Bound<'_, PyDict>,
) -> PyResult<()> {
    // SAFETY: attached; a code object without free variables and two dicts.
    let result = unsafe { eval_code(code.as_ptr(), globals.as_ptr(), locals.as_ptr()) };
    // SAFETY: a new reference, or null with an error set.
    unsafe { Bound::from_owned_ptr_or_err(globals.py(), result)? };
    Ok(())
}

/// The variables that the code leaves for other nodes: `result` alone, if there
/// is one, else all that are neither private nor modules.
fn exported<'py>(variables: &Bound<'py, PyDict>, odd_names: bool) -> PyResult<Bound<'py, PyDict>> {
    let py = variables.py();
    let result_key = intern!(py, "result");
    if let Some(result) = variables.get_item(result_key)?
        && !is_module(&result)
        && (!odd_names
            || variables
                .iter()
                .all(|(key, _)| key.is_exact_instance_of::<PyString>()))
    {
        let outputs = PyDict::new(py);
        outputs.set_item(result_key, result)?;
        return Ok(outputs);
    }
    let outputs = PyDict::new(py);
    for (key, value) in variables.iter() {
        let private = match key.cast_exact::<PyString>() {
            Ok(name) => first_is_underscore(name),
            Err(_) => key.ask(intern!(py, "startswith"), ("_",))?.is_truthy()?,
        };
        if !private && !is_module(&value) {
            outputs.set_item(key, value)?;
        }
    }
    if outputs.contains(result_key)? {
        let result = outputs.as_any().get_item(result_key)?;
        outputs.clear();
        outputs.set_item(result_key, result)?;
    }
    Ok(outputs)
}

fn first_is_underscore(name: &Bound<'_, PyString>) -> bool {
    // SAFETY: attached; a ready str.
    unsafe {
        ffi::PyUnicode_GET_LENGTH(name.as_ptr()) > 0
            && ffi::PyUnicode_ReadChar(name.as_ptr(), 0) == u32::from(b'_')
    }
}

fn is_module(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyModule>()
}
