//! What the plan knows of each node.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::py::values::StockFunctions;

use super::code::CodeBody;
use super::function::FunctionBody;
use super::generic::GenericBody;
use super::spare::Builtins;

/// What nodes of one plan have in common, by the address of what it is made from,
/// which is kept: nothing else comes to have that address meanwhile.
#[derive(Default)]
pub(super) struct Shared {
    builtins: HashMap<usize, Arc<Builtins>>,
    stock: HashMap<usize, (Py<PyDict>, Arc<StockFunctions>)>,
}

impl Shared {
    pub(super) fn builtins(&mut self, template: Py<PyDict>, is_live: bool) -> Arc<Builtins> {
        let known = self.builtins.entry(template.as_ptr() as usize);
        Arc::clone(known.or_insert_with(|| Arc::new(Builtins::new(template, is_live))))
    }

    pub(super) fn stock_functions(
        &mut self,
        functions: &Bound<'_, PyDict>,
    ) -> PyResult<Arc<StockFunctions>> {
        Ok(match self.stock.entry(functions.as_ptr() as usize) {
            Entry::Occupied(known) => Arc::clone(&known.get().1),
            Entry::Vacant(place) => {
                let made = Arc::new(StockFunctions::from_dict(functions)?);
                Arc::clone(&place.insert((functions.clone().unbind(), made)).1)
            }
        })
    }
}

/// For a node's `__traverse__`: what several nodes hold is not visible to the collector.
pub(super) fn traverse_unshared(
    stock: &Arc<StockFunctions>,
    visit: &pyo3::PyVisit<'_>,
) -> Result<(), pyo3::PyTraverseError> {
    if Arc::strong_count(stock) > 1 {
        return Ok(());
    }
    stock.traverse(visit)
}

/// How a node's body runs.
pub(super) enum Body {
    /// A `PythonCodeNode` with a code string.
    Code(CodeBody),
    /// A `PythonCodeNode` made from a function or a class.
    Function(FunctionBody),
    /// The node's `run`, between the checks of stock's `execute`.
    Generic(GenericBody),
    /// The node's own `execute`.
    Execute,
    /// Awaited by the caller on its event loop.
    Async,
}

/// One value that an edge carries.
pub(super) struct Mapping {
    pub(super) source_key: Py<PyString>,
    /// The parts of a dotted key.
    pub(super) path: Option<Vec<Py<PyString>>>,
    pub(super) target_key: Py<PyString>,
    /// Whether the key is `result`.
    pub(super) is_result: bool,
    /// Whether the input is `input_data`.
    pub(super) delivers_input_data: bool,
    /// What follows `result.` in a dotted key.
    pub(super) after_result: Option<Py<PyString>>,
}

impl Mapping {
    fn new(
        source_key: Bound<'_, PyString>,
        path: Option<Vec<Py<PyString>>>,
        target_key: Py<PyString>,
    ) -> PyResult<Self> {
        let text = source_key.to_str()?;
        let is_result = text == "result";
        let after_result = text
            .strip_prefix("result.")
            .map(|rest| PyString::new(source_key.py(), rest).unbind());
        let delivers_input_data = target_key
            .bind(source_key.py())
            .to_str()
            .is_ok_and(|target| target == "input_data");
        Ok(Self {
            delivers_input_data,
            source_key: source_key.unbind(),
            path,
            target_key,
            is_result,
            after_result,
        })
    }
}

pub(super) struct Edge {
    pub(super) source: u32,
    pub(super) mappings: Vec<Mapping>,
    /// It leads from one iteration of a cycle to the next.
    pub(super) is_feedback: bool,
    /// The source is a switch.
    pub(super) is_from_switch: bool,
}

#[allow(clippy::struct_excessive_bools)] // independent facts, each asked by its name
pub(super) struct Node {
    pub(super) id: Py<PyString>,
    pub(super) class_name: Py<PyString>,
    pub(super) instance: Py<PyAny>,
    pub(super) config: Py<PyDict>,
    pub(super) edges: Vec<Edge>,
    pub(super) body: Body,
    /// A source may route its data past this node.
    pub(super) has_switch_source: bool,
    pub(super) has_dependents: bool,
    /// Its configuration says something, so that it may run without inputs.
    pub(super) is_configured: bool,
    /// An edge leads to `input_data`.
    pub(super) expects_input_data: bool,
    /// `config["config"]` is a dict whose entries become inputs.
    pub(super) has_nested_config: bool,
    /// The keys that edges deliver also stand in the configuration.
    pub(super) edges_override_config: bool,
    /// The keys that edges deliver are plain names, each delivered once.
    pub(super) plain_edges: bool,
    /// Stock assembles this node's inputs.
    pub(super) stock_inputs: bool,
    /// The same for `AsyncLocalRuntime`, which follows edges by other rules.
    pub(super) stock_async_inputs: bool,
    /// The instance is given the run's workflow context.
    pub(super) needs_context: bool,
}

fn required<'py>(spec: &Bound<'py, PyDict>, key: &str) -> PyResult<Bound<'py, PyAny>> {
    spec.get_item(key)?
        .ok_or_else(|| PyValueError::new_err(format!("a node's description lacks {key:?}")))
}

fn flag(spec: &Bound<'_, PyDict>, key: &str) -> PyResult<bool> {
    spec.get_item(key)?
        .map_or(Ok(false), |value| value.is_truthy())
}

impl Node {
    pub(super) fn from_spec(spec: &Bound<'_, PyDict>, shared: &mut Shared) -> PyResult<Self> {
        let body = match required(spec, "kind")?.extract::<String>()?.as_str() {
            "code" => Body::Code(CodeBody::from_spec(spec, shared)?),
            "function" => Body::Function(FunctionBody::from_spec(spec, shared)?),
            "run" => Body::Generic(GenericBody::from_spec(spec, shared)?),
            "execute" => Body::Execute,
            "async" => Body::Async,
            other => {
                return Err(PyValueError::new_err(format!(
                    "unknown kind of node {other:?}"
                )));
            }
        };
        let mut edges = Vec::new();
        for edge in required(spec, "edges")?.try_iter()? {
            let (source, mappings, is_feedback, is_from_switch): (
                u32,
                Vec<Bound<'_, PyTuple>>,
                bool,
                bool,
            ) = edge?.extract()?;
            let mappings = mappings
                .iter()
                .map(|mapping| {
                    let (source_key, path, target_key) = mapping.extract()?;
                    Mapping::new(source_key, path, target_key)
                })
                .collect::<PyResult<_>>()?;
            edges.push(Edge {
                source,
                mappings,
                is_feedback,
                is_from_switch,
            });
        }
        Ok(Self {
            id: required(spec, "id")?.extract()?,
            class_name: required(spec, "class_name")?.extract()?,
            instance: required(spec, "instance")?.unbind(),
            config: required(spec, "config")?.extract()?,
            expects_input_data: edges
                .iter()
                .flat_map(|edge| &edge.mappings)
                .any(|mapping| mapping.delivers_input_data),
            edges,
            body,
            has_switch_source: flag(spec, "has_switch_source")?,
            has_dependents: flag(spec, "has_dependents")?,
            is_configured: flag(spec, "is_configured")?,
            has_nested_config: flag(spec, "has_nested_config")?,
            edges_override_config: flag(spec, "edges_override_config")?,
            plain_edges: flag(spec, "plain_edges")?,
            stock_inputs: flag(spec, "stock_inputs")?,
            stock_async_inputs: flag(spec, "stock_async_inputs")?,
            needs_context: flag(spec, "needs_context")?,
        })
    }

    pub(super) fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.instance)?;
        visit.call(&self.config)?;
        match &self.body {
            Body::Code(code) => code.traverse(visit),
            Body::Function(function) => function.traverse(visit),
            Body::Generic(generic) => generic.traverse(visit),
            Body::Execute | Body::Async => Ok(()),
        }
    }
}
