//! Building a graph, node by node.

use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::core::graph::TaskDag;
use crate::core::schedule::LearnedDurations;
use crate::py::errors::{graph_error, raise};

use super::arguments::{Argument, Names};
use super::compiled::{CompiledGraph, Plan, Task};
use super::tokens::{Input, Ref};

struct Node {
    callable: Py<PyAny>,
    args: Py<PyTuple>,
    kwargs: Option<Py<PyDict>>,
    after: Vec<Py<PyString>>,
}

struct Building {
    names: Vec<Py<PyString>>,
    nodes: Vec<Node>,
    compiled: Option<Py<CompiledGraph>>,
}

/// A graph of Python callables, built once and run many times.
#[pyclass(frozen, module = "nexus_core")]
pub(crate) struct TaskGraph {
    building: Mutex<Building>,
    numbers: Py<PyDict>,
}

#[pymethods]
impl TaskGraph {
    #[new]
    fn new(py: Python<'_>) -> Self {
        Self {
            building: Mutex::new(Building {
                names: Vec::new(),
                nodes: Vec::new(),
                compiled: None,
            }),
            numbers: PyDict::new(py).unbind(),
        }
    }

    #[pyo3(signature = (name, callable, /, *args, **kwargs))]
    fn add(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        callable: Bound<'_, PyAny>,
        args: Py<PyTuple>,
        kwargs: Option<Py<PyDict>>,
    ) -> PyResult<Ref> {
        let Ok(name) = name.cast::<PyString>() else {
            return Err(PyTypeError::new_err(format!(
                "a node's name must be a str, got {}",
                name.repr()?
            )));
        };
        if !callable.is_callable() {
            let shown = callable.repr()?;
            return Err(raise(py, "NotCallable", (name.clone(), shown)));
        }
        let numbers = self.numbers.bind(py);
        if numbers.contains(name)? {
            return Err(raise(py, "DuplicateNode", (name.clone(),)));
        }
        let stale = {
            let mut building = self.building.lock();
            let number = building.names.len();
            building.names.push(name.clone().unbind());
            building.nodes.push(Node {
                callable: callable.unbind(),
                args,
                kwargs,
                after: Vec::new(),
            });
            (building.compiled.take(), number)
        };
        numbers.set_item(name, stale.1)?;
        Ok(Ref {
            name: name.clone().unbind(),
        })
    }

    #[pyo3(signature = (node, /, *predecessors))]
    fn after(
        &self,
        py: Python<'_>,
        node: &Bound<'_, PyAny>,
        predecessors: &Bound<'_, PyTuple>,
    ) -> PyResult<()> {
        let name = name_of(node)?;
        let Some(number) = self.numbers.bind(py).get_item(&name)? else {
            return Err(raise(py, "UnknownNode", (name, py.None())));
        };
        let number: usize = number.extract()?;
        let mut names = Vec::with_capacity(predecessors.len());
        for predecessor in predecessors.iter() {
            names.push(name_of(&predecessor)?.unbind());
        }
        let stale = {
            let mut building = self.building.lock();
            building.nodes[number].after.append(&mut names);
            building.compiled.take()
        };
        drop(stale);
        Ok(())
    }

    fn compile(&self, py: Python<'_>) -> PyResult<Py<CompiledGraph>> {
        if let Some(compiled) = &self.building.lock().compiled {
            return Ok(compiled.clone_ref(py));
        }
        let (names, nodes) = {
            let building = self.building.lock();
            let names: Vec<_> = building.names.iter().map(|n| n.clone_ref(py)).collect();
            let nodes: Vec<_> = building
                .nodes
                .iter()
                .map(|node| Node {
                    callable: node.callable.clone_ref(py),
                    args: node.args.clone_ref(py),
                    kwargs: node.kwargs.as_ref().map(|kwargs| kwargs.clone_ref(py)),
                    after: node.after.iter().map(|n| n.clone_ref(py)).collect(),
                })
                .collect();
            (names, nodes)
        };
        let count = names.len();
        let plan = compile_plan(py, self.numbers.bind(py), names, nodes)?;
        let compiled = Py::new(py, CompiledGraph::new(plan))?;
        let mut building = self.building.lock();
        if building.names.len() == count && building.compiled.is_none() {
            building.compiled = Some(compiled.clone_ref(py));
        }
        Ok(compiled)
    }

    #[pyo3(signature = (inputs=None, **options))]
    fn run(
        &self,
        py: Python<'_>,
        inputs: Option<&Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let compiled = self.compile(py)?;
        compiled.call_method(py, "run", (inputs,), options)
    }

    fn __len__(&self) -> usize {
        self.building.lock().names.len()
    }

    fn __contains__(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.numbers.bind(py).contains(name)
    }

    fn __repr__(&self) -> String {
        format!("<TaskGraph of {} nodes>", self.building.lock().names.len())
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        let Some(building) = self.building.try_lock() else {
            return Ok(());
        };
        visit.call(&building.compiled)?;
        for node in &building.nodes {
            visit.call(&node.callable)?;
            visit.call(&node.args)?;
            visit.call(&node.kwargs)?;
        }
        visit.call(&self.numbers)
    }

    fn __clear__(&self) {
        if let Some(mut building) = self.building.try_lock() {
            let nodes = std::mem::take(&mut building.nodes);
            let compiled = building.compiled.take();
            drop(building);
            drop((nodes, compiled));
        }
    }
}

fn name_of<'py>(node: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
    if let Ok(reference) = node.cast_exact::<Ref>() {
        return Ok(reference.get().name.bind(node.py()).clone());
    }
    match node.cast::<PyString>() {
        Ok(name) => Ok(name.clone()),
        Err(_) => Err(PyTypeError::new_err(format!(
            "a node is named by a str or a Ref, got {}",
            node.repr()?
        ))),
    }
}

/// Numbers names for one node after another, collecting its predecessors.
struct Numbering<'a, 'py> {
    numbers: &'a Bound<'py, PyDict>,
    referrer: Option<Py<PyString>>,
    predecessors: Vec<u32>,
    input_numbers: Bound<'py, PyDict>,
    inputs: Vec<(Py<PyString>, Option<Py<PyAny>>)>,
}

impl Names for Numbering<'_, '_> {
    fn node(&mut self, name: &Bound<'_, PyString>) -> PyResult<u32> {
        let Some(number) = self.numbers.get_item(name)? else {
            let referrer = self.referrer.as_ref().map(|n| n.clone_ref(name.py()));
            return Err(raise(name.py(), "UnknownNode", (name.clone(), referrer)));
        };
        let number = number.extract()?;
        self.predecessors.push(number);
        Ok(number)
    }

    fn input(&mut self, input: &Input, py: Python<'_>) -> PyResult<u32> {
        let name = input.name.bind(py);
        if let Some(number) = self.input_numbers.get_item(name)? {
            let number: u32 = number.extract()?;
            if let (None, Some(default)) = (&self.inputs[number as usize].1, &input.default) {
                self.inputs[number as usize].1 = Some(default.clone_ref(py));
            }
            return Ok(number);
        }
        let number = self.inputs.len() as u32;
        self.input_numbers.set_item(name, number)?;
        let default = input.default.as_ref().map(|value| value.clone_ref(py));
        self.inputs.push((name.clone().unbind(), default));
        Ok(number)
    }
}

fn compile_plan(
    py: Python<'_>,
    numbers: &Bound<'_, PyDict>,
    names: Vec<Py<PyString>>,
    nodes: Vec<Node>,
) -> PyResult<Plan> {
    let mut numbering = Numbering {
        numbers,
        referrer: None,
        predecessors: Vec::new(),
        input_numbers: PyDict::new(py),
        inputs: Vec::new(),
    };
    let mut tasks = Vec::with_capacity(nodes.len());
    let mut arguments = Vec::new();
    let mut edges = Vec::new();
    for (number, node) in nodes.iter().enumerate() {
        numbering.referrer = Some(names[number].clone_ref(py));
        let first = arguments.len() as u32;
        for value in node.args.bind(py).iter() {
            arguments.push(Argument::compile(&value, &mut numbering)?);
        }
        let mut keywords = None;
        if let Some(kwargs) = &node.kwargs {
            let kwargs = kwargs.bind(py);
            for (_, value) in kwargs.iter() {
                arguments.push(Argument::compile(&value, &mut numbering)?);
            }
            if !kwargs.is_empty() {
                keywords = Some(PyTuple::new(py, kwargs.keys())?.unbind());
            }
        }
        for name in &node.after {
            numbering.node(name.bind(py))?;
        }
        edges.extend(numbering.predecessors.drain(..).map(|p| (p, number as u32)));
        tasks.push(Task {
            callable: node.callable.clone_ref(py),
            first,
            positional: node.args.bind(py).len() as u32,
            keywords,
        });
    }
    let inputs = numbering.inputs;
    let (dag, order) = py
        .detach(|| ordered_dag(names.len(), edges))
        .map_err(|error| graph_error(py, &error, &names))?;
    let Some(order) = order else {
        return Ok(Plan::new(dag, names, tasks, arguments, inputs));
    };
    Ok(reorder(py, dag, &order, &names, &tasks, arguments, inputs))
}

/// The graph with nodes numbered in topological order, and that order in the
/// old numbers when it differs.
fn ordered_dag(
    count: usize,
    edges: Vec<(u32, u32)>,
) -> Result<(TaskDag, Option<Vec<u32>>), crate::core::graph::GraphError> {
    let dag = TaskDag::from_edges(count, &edges)?;
    if dag.is_index_order_topological() {
        return Ok((dag, None));
    }
    let order = dag.topological_order().to_vec();
    let edges: Vec<_> = edges
        .into_iter()
        .map(|(from, to)| (dag.position(from) as u32, dag.position(to) as u32))
        .collect();
    Ok((TaskDag::from_edges(count, &edges)?, Some(order)))
}

fn reorder(
    py: Python<'_>,
    dag: TaskDag,
    order: &[u32],
    names: &[Py<PyString>],
    tasks: &[Task],
    mut arguments: Vec<Argument>,
    inputs: Vec<(Py<PyString>, Option<Py<PyAny>>)>,
) -> Plan {
    let mut position = vec![0; order.len()];
    for (place, &old) in order.iter().enumerate() {
        position[old as usize] = place as u32;
    }
    for argument in &mut arguments {
        argument.renumber(&position);
    }
    let names = order
        .iter()
        .map(|&old| names[old as usize].clone_ref(py))
        .collect();
    let tasks = order
        .iter()
        .map(|&old| tasks[old as usize].clone_ref(py))
        .collect();
    Plan::new(dag, names, tasks, arguments, inputs)
}

/// Shared by all runs of a graph.
pub(super) fn learned(dag: &TaskDag) -> Arc<LearnedDurations> {
    Arc::new(LearnedDurations::new(dag.node_count()))
}
