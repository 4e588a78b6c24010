//! Building a graph, node by node.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::core::graph::TaskDag;
use crate::core::locks::Mutex;
use crate::py::errors::{graph_error, raise};

use super::arguments::{Argument, Names};
use super::compiled::CompiledGraph;
use super::plan::{Plan, Task};
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
    /// Grows with each change.
    version: u64,
}

/// A graph of Python callables, built once and run many times.
///
/// Nodes are added with their arguments; a result of another node, or an input of
/// the run, may stand anywhere in them. A graph may be built from several threads.
///
/// Example:
///     >>> from nexus_core import Input, TaskGraph
///     >>> graph = TaskGraph()
///     >>> words = graph.add("words", str.split, Input("text"))
///     >>> _ = graph.add("count", len, words)
///     >>> graph.run({"text": "one two three"})
///     {'words': ['one', 'two', 'three'], 'count': 3}
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
                version: 0,
            }),
            numbers: PyDict::new(py).unbind(),
        }
    }

    /// Adds a node.
    ///
    /// Args:
    ///     name: The node's name, its key in the results; unique in the graph.
    ///     callable: What the node calls.
    ///     args: Its positional arguments. A `Ref` stands for the result of the node
    ///         that it names, an `Input` for a value of the run, also inside lists,
    ///         tuples and dict values.
    ///     kwargs: Its keyword arguments, likewise.
    ///
    /// Returns:
    ///     A `Ref` to the node, for the arguments of others.
    ///
    /// Raises:
    ///     TypeError: If the name is not a str.
    ///     nexus_core.errors.DuplicateNode: If the graph has a node of that name.
    ///     nexus_core.errors.NotCallable: If `callable` cannot be called.
    ///
    /// Example:
    ///     >>> from nexus_core import TaskGraph
    ///     >>> graph = TaskGraph()
    ///     >>> numbers = graph.add("numbers", list, range(5))
    ///     >>> graph.add("largest first", sorted, numbers, reverse=True)
    ///     Ref('largest first')
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
            building.version += 1;
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

    /// Makes a node wait for others whose results it does not use.
    ///
    /// Args:
    ///     node: The node that waits, by name or as a `Ref`.
    ///     predecessors: The nodes that it waits for, by name or as a `Ref`; they may
    ///         be added later.
    ///
    /// Raises:
    ///     TypeError: If one of them is neither a str nor a `Ref`.
    ///     nexus_core.errors.UnknownNode: If the graph has no node `node`.
    ///
    /// Example:
    ///     >>> from nexus_core import TaskGraph
    ///     >>> graph = TaskGraph()
    ///     >>> report = graph.add("report", str)
    ///     >>> _ = graph.add("set up", str)
    ///     >>> graph.after(report, "set up")
    ///     >>> list(graph.run())
    ///     ['set up', 'report']
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
            building.version += 1;
            if let Some(node) = building.nodes.get_mut(number) {
                node.after.append(&mut names);
            }
            building.compiled.take()
        };
        drop(stale);
        Ok(())
    }

    /// Checks the graph and makes it ready to run.
    ///
    /// The result is kept until the graph changes, so that asking again costs nothing.
    ///
    /// Returns:
    ///     The `CompiledGraph`; what is added to this graph later does not change it.
    ///
    /// Raises:
    ///     nexus_core.errors.CycleError: If nodes wait for one another; it holds the
    ///         cycle's path.
    ///     nexus_core.errors.UnknownNode: If an argument refers to a node that was
    ///         never added.
    ///     nexus_core.errors.GraphError: If a reference stands under more than 64
    ///         containers.
    ///
    /// Example:
    ///     >>> from nexus_core import Input, TaskGraph
    ///     >>> graph = TaskGraph()
    ///     >>> _ = graph.add("squared", pow, Input("base"), 2)
    ///     >>> plan = graph.compile()
    ///     >>> [plan.run({"base": base})["squared"] for base in (2, 3)]
    ///     [4, 9]
    fn compile(&self, py: Python<'_>) -> PyResult<Py<CompiledGraph>> {
        if let Some(compiled) = &self.building.lock().compiled {
            return Ok(compiled.clone_ref(py));
        }
        let (version, names, nodes) = {
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
            (building.version, names, nodes)
        };
        let plan = compile_plan(py, self.numbers.bind(py), names, &nodes)?;
        let compiled = Py::new(py, CompiledGraph::new(Py::new(py, plan)?))?;
        let kept = compiled.clone_ref(py);
        let replaced = {
            let mut building = self.building.lock();
            // What another thread has changed meanwhile is not in this plan.
            (building.version == version).then(|| building.compiled.replace(kept))
        };
        drop(replaced);
        Ok(compiled)
    }

    /// Compiles the graph where it has changed, and runs it once.
    ///
    /// Args:
    ///     inputs: Values by input name, for every `Input` without a default.
    ///     outputs: Names of the nodes whose results are wanted, or their `Ref`. Every
    ///         other result is released when its last consumer has run. All results are
    ///         kept where this is not given.
    ///     max_concurrency: How many nodes run at once, at the most; 1 is strictly one
    ///         after the other. By default the number of cores and 4 more, 32 at the most.
    ///     timeout: Seconds after which the run is given up. Nodes that have started
    ///         go on in the background; their results are dropped.
    ///     cancel: No further node starts once this token is cancelled.
    ///     measure: Whether to time every node, for `durations()` and the questions
    ///         that need durations.
    ///
    /// Returns:
    ///     Each node's result by its name, in topological order.
    ///
    /// Raises:
    ///     Exception: What a node raised, with a note that names the node; of several
    ///         failed nodes the first in topological order. No node starts after it.
    ///     nexus_core.errors.MissingInput: If an input has neither a value nor a default.
    ///     nexus_core.errors.UnknownInput: If a value is given for an input that no
    ///         node uses.
    ///     nexus_core.errors.UnknownNode: If `outputs` names a node that there is not.
    ///     nexus_core.errors.RunTimeout: If the time is up.
    ///     nexus_core.errors.RunCancelled: If `cancel` was cancelled.
    ///     ValueError: If `max_concurrency` is below 1, or `timeout` is not above 0.
    ///     nexus_core.errors.GraphError: If the graph is refused, as by `compile()`.
    ///
    /// Example:
    ///     >>> from nexus_core import Input, TaskGraph
    ///     >>> graph = TaskGraph()
    ///     >>> half = graph.add("half", lambda x: x / 2, Input("x"))
    ///     >>> _ = graph.add("rounded", round, half)
    ///     >>> graph.run({"x": 7.5}, outputs=["rounded"], timeout=10.0)
    ///     {'rounded': 4}
    #[pyo3(
        signature = (inputs=None, **options),
        text_signature = "($self, inputs=None, *, outputs=None, max_concurrency=None, timeout=None, cancel=None, measure=False)"
    )]
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
            let names = std::mem::take(&mut building.names);
            let nodes = std::mem::take(&mut building.nodes);
            let compiled = building.compiled.take();
            drop(building);
            drop((names, nodes, compiled));
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
    nodes: &[Node],
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
