//! A compiled graph: runs, and answers questions about itself.

use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyMapping};

use crate::core::graph::Schedule;
use crate::py::errors::graph_error;

use super::options::{RunOptions, concurrency, deadline, selected};
use super::plan::Plan;
use super::running::run;
use super::stepper::GraphStepper;
use super::tokens::CancellationToken;

/// A graph ready to run, any number of times and from any number of threads.
///
/// `TaskGraph.compile()` makes it.
///
/// Example:
///     >>> from nexus_core import TaskGraph
///     >>> graph = TaskGraph()
///     >>> load = graph.add("load", str)
///     >>> half = graph.add("half", str, load)
///     >>> square = graph.add("square", str, load)
///     >>> _ = graph.add("join", "{}{}".format, half, square)
///     >>> plan = graph.compile()
///     >>> plan
///     <CompiledGraph of 4 nodes and 4 edges>
#[pyclass(frozen, module = "nexus_core")]
pub(crate) struct CompiledGraph {
    plan: Py<Plan>,
}

impl CompiledGraph {
    pub(super) fn new(plan: Py<Plan>) -> Self {
        Self { plan }
    }
}

#[pymethods]
impl CompiledGraph {
    /// Runs all nodes and gives back their results.
    ///
    /// The calling thread runs ready nodes itself; when one of them blocks while
    /// others are ready, worker threads take those, the longest remaining path first.
    /// Every node sees the caller's context variables.
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
    ///
    /// Example:
    ///     >>> from nexus_core import Input, TaskGraph
    ///     >>> graph = TaskGraph()
    ///     >>> total = graph.add("total", sum, Input("numbers"))
    ///     >>> _ = graph.add("text", "{:.1f}".format, total)
    ///     >>> plan = graph.compile()
    ///     >>> plan.run({"numbers": [1, 2, 3]})
    ///     {'total': 6, 'text': '6.0'}
    ///     >>> plan.run({"numbers": [0.5]}, outputs=["text"], max_concurrency=1)
    ///     {'text': '0.5'}
    #[pyo3(signature = (inputs=None, *, outputs=None, max_concurrency=None, timeout=None, cancel=None, measure=false))]
    #[allow(clippy::too_many_arguments)] // Python keywords, not positions
    fn run<'py>(
        &self,
        py: Python<'py>,
        inputs: Option<&Bound<'py, PyMapping>>,
        outputs: Option<&Bound<'py, PyAny>>,
        max_concurrency: Option<i64>,
        timeout: Option<f64>,
        cancel: Option<Bound<'py, CancellationToken>>,
        measure: bool,
    ) -> PyResult<Bound<'py, PyDict>> {
        let options = RunOptions {
            limit: concurrency(max_concurrency)?,
            timeout,
            deadline: deadline(timeout)?,
            keep: outputs
                .map(|names| selected(self.plan.get(), names))
                .transpose()?,
            cancel: cancel.map(|token| Arc::clone(&token.get().state)),
            measure,
        };
        run(py, &self.plan, inputs, options)
    }

    /// Every node after all that it waits for, as in a run's results.
    ///
    /// Of nodes that do not wait for one another, the one added first comes first
    /// where the graph leaves the choice.
    ///
    /// Returns:
    ///     The nodes' names.
    ///
    /// Example:
    ///     >>> from nexus_core import TaskGraph
    ///     >>> graph = TaskGraph()
    ///     >>> load = graph.add("load", str)
    ///     >>> half = graph.add("half", str, load)
    ///     >>> square = graph.add("square", str, load)
    ///     >>> _ = graph.add("join", "{}{}".format, half, square)
    ///     >>> plan = graph.compile()
    ///     >>> plan.topological_order()
    ///     ['load', 'half', 'square', 'join']
    fn topological_order<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, &self.plan.get().names)
    }

    /// Nodes by the length of the longest path that leads to them, counted in nodes.
    ///
    /// Returns:
    ///     Lists of names, the nodes that wait for nothing first. No node waits for
    ///     another one of its own list.
    ///
    /// Example:
    ///     >>> from nexus_core import TaskGraph
    ///     >>> graph = TaskGraph()
    ///     >>> load = graph.add("load", str)
    ///     >>> half = graph.add("half", str, load)
    ///     >>> square = graph.add("square", str, load)
    ///     >>> _ = graph.add("join", "{}{}".format, half, square)
    ///     >>> plan = graph.compile()
    ///     >>> plan.levels()
    ///     [['load'], ['half', 'square'], ['join']]
    fn levels<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let levels = py.detach(|| self.plan.get().dag.levels());
        let named: Vec<_> = levels
            .iter()
            .map(|level| self.named(py, level))
            .collect::<PyResult<_>>()?;
        PyList::new(py, named)
    }

    /// The nodes that a node waits for directly.
    ///
    /// Args:
    ///     name: The node's name.
    ///
    /// Returns:
    ///     Their names.
    ///
    /// Raises:
    ///     nexus_core.errors.UnknownNode: If there is no such node.
    ///
    /// Example:
    ///     >>> from nexus_core import TaskGraph
    ///     >>> graph = TaskGraph()
    ///     >>> _ = graph.add("second", str, graph.add("first", str))
    ///     >>> plan = graph.compile()
    ///     >>> plan.predecessors("second")
    ///     ['first']
    fn predecessors<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        self.named(
            py,
            self.plan
                .get()
                .dag
                .predecessors(self.plan.get().number(name)?),
        )
    }

    /// The nodes that wait for a node directly.
    ///
    /// Args:
    ///     name: The node's name.
    ///
    /// Returns:
    ///     Their names.
    ///
    /// Raises:
    ///     nexus_core.errors.UnknownNode: If there is no such node.
    ///
    /// Example:
    ///     >>> from nexus_core import TaskGraph
    ///     >>> graph = TaskGraph()
    ///     >>> _ = graph.add("second", str, graph.add("first", str))
    ///     >>> plan = graph.compile()
    ///     >>> plan.successors("first")
    ///     ['second']
    fn successors<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        self.named(
            py,
            self.plan
                .get()
                .dag
                .successors(self.plan.get().number(name)?),
        )
    }

    /// The longest path by duration: no schedule is shorter.
    ///
    /// Args:
    ///     durations: Seconds for every node, by name; by default what runs with
    ///         `measure=True` have measured.
    ///
    /// Returns:
    ///     The path's nodes from first to last, and its length in seconds. Of paths
    ///     of one length, the one whose nodes come first in topological order.
    ///
    /// Raises:
    ///     nexus_core.errors.NoDurations: If none are given and none are measured.
    ///     nexus_core.errors.UnknownNode: If a name is no node's.
    ///     nexus_core.errors.GraphError: If a duration is negative or not finite.
    ///     ValueError: If `durations` lacks a node.
    ///
    /// Example:
    ///     >>> from nexus_core import TaskGraph
    ///     >>> graph = TaskGraph()
    ///     >>> load = graph.add("load", str)
    ///     >>> half = graph.add("half", str, load)
    ///     >>> square = graph.add("square", str, load)
    ///     >>> _ = graph.add("join", "{}{}".format, half, square)
    ///     >>> plan = graph.compile()
    ///     >>> seconds = {"load": 1.0, "half": 2.0, "square": 5.0, "join": 1.0}
    ///     >>> plan.critical_path(seconds)
    ///     (['load', 'square', 'join'], 7.0)
    #[pyo3(signature = (durations=None))]
    fn critical_path<'py>(
        &self,
        py: Python<'py>,
        durations: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyList>, f64)> {
        let durations = self.plan.get().durations(py, durations)?;
        let path = py
            .detach(|| self.plan.get().dag.critical_path(&durations))
            .map_err(|error| graph_error(py, &error, &self.plan.get().names))?;
        Ok((self.named(py, &path.nodes)?, path.length))
    }

    /// How late each node may be without making the critical path longer.
    ///
    /// Args:
    ///     durations: Seconds for every node, by name; by default what runs with
    ///         `measure=True` have measured.
    ///
    /// Returns:
    ///     Seconds by node name, in topological order; 0.0 on the critical path.
    ///
    /// Raises:
    ///     nexus_core.errors.NoDurations: If none are given and none are measured.
    ///     nexus_core.errors.UnknownNode: If a name is no node's.
    ///     nexus_core.errors.GraphError: If a duration is negative or not finite.
    ///     ValueError: If `durations` lacks a node.
    ///
    /// Example:
    ///     >>> from nexus_core import TaskGraph
    ///     >>> graph = TaskGraph()
    ///     >>> load = graph.add("load", str)
    ///     >>> half = graph.add("half", str, load)
    ///     >>> square = graph.add("square", str, load)
    ///     >>> _ = graph.add("join", "{}{}".format, half, square)
    ///     >>> plan = graph.compile()
    ///     >>> seconds = {"load": 1.0, "half": 2.0, "square": 5.0, "join": 1.0}
    ///     >>> plan.slack(seconds)
    ///     {'load': 0.0, 'half': 3.0, 'square': 0.0, 'join': 0.0}
    #[pyo3(signature = (durations=None))]
    fn slack<'py>(
        &self,
        py: Python<'py>,
        durations: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let durations = self.plan.get().durations(py, durations)?;
        let slack = py
            .detach(|| self.plan.get().dag.slack(&durations))
            .map_err(|error| graph_error(py, &error, &self.plan.get().names))?;
        let named = PyDict::new(py);
        for (name, seconds) in self.plan.get().names.iter().zip(slack) {
            named.set_item(name, seconds)?;
        }
        Ok(named)
    }

    /// How long a run would take: the scheduler simulated, not run.
    ///
    /// Only the nodes' own time counts. The node with the longest remaining path goes
    /// first.
    ///
    /// Args:
    ///     workers: How many nodes run at once, at the most; at least 1.
    ///     durations: Seconds for every node, by name; by default what runs with
    ///         `measure=True` have measured.
    ///
    /// Returns:
    ///     Seconds from the start of the first node to the end of the last.
    ///
    /// Raises:
    ///     nexus_core.errors.NoDurations: If none are given and none are measured.
    ///     nexus_core.errors.UnknownNode: If a name is no node's.
    ///     nexus_core.errors.GraphError: If a duration is negative or not finite.
    ///     ValueError: If `durations` lacks a node, or `workers` is below 1.
    ///
    /// Example:
    ///     >>> from nexus_core import TaskGraph
    ///     >>> graph = TaskGraph()
    ///     >>> load = graph.add("load", str)
    ///     >>> half = graph.add("half", str, load)
    ///     >>> square = graph.add("square", str, load)
    ///     >>> _ = graph.add("join", "{}{}".format, half, square)
    ///     >>> plan = graph.compile()
    ///     >>> seconds = {"load": 1.0, "half": 2.0, "square": 5.0, "join": 1.0}
    ///     >>> plan.predict_makespan(1, seconds), plan.predict_makespan(2, seconds)
    ///     (9.0, 7.0)
    #[pyo3(signature = (workers, durations=None))]
    fn predict_makespan(
        &self,
        py: Python<'_>,
        workers: i64,
        durations: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<f64> {
        Ok(self.simulate(py, workers, durations)?.makespan)
    }

    /// When and on which worker each node would run, in the run that
    /// `predict_makespan` simulates.
    ///
    /// Args:
    ///     workers: How many nodes run at once, at the most; at least 1.
    ///     durations: Seconds for every node, by name; by default what runs with
    ///         `measure=True` have measured.
    ///
    /// Returns:
    ///     `(name, worker, start, end)` a node, in the order in which they start;
    ///     workers count from 0, times are seconds from the start.
    ///
    /// Raises:
    ///     nexus_core.errors.NoDurations: If none are given and none are measured.
    ///     nexus_core.errors.UnknownNode: If a name is no node's.
    ///     nexus_core.errors.GraphError: If a duration is negative or not finite.
    ///     ValueError: If `durations` lacks a node, or `workers` is below 1.
    ///
    /// Example:
    ///     >>> from nexus_core import TaskGraph
    ///     >>> graph = TaskGraph()
    ///     >>> load = graph.add("load", str)
    ///     >>> half = graph.add("half", str, load)
    ///     >>> square = graph.add("square", str, load)
    ///     >>> _ = graph.add("join", "{}{}".format, half, square)
    ///     >>> plan = graph.compile()
    ///     >>> seconds = {"load": 1.0, "half": 2.0, "square": 5.0, "join": 1.0}
    ///     >>> for slot in plan.predict_schedule(2, seconds):
    ///     ...     print(*slot)
    ///     load 0 0.0 1.0
    ///     square 0 1.0 6.0
    ///     half 1 1.0 3.0
    ///     join 0 6.0 7.0
    #[pyo3(signature = (workers, durations=None))]
    fn predict_schedule<'py>(
        &self,
        py: Python<'py>,
        workers: i64,
        durations: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let schedule = self.simulate(py, workers, durations)?;
        let slots = schedule.slots.iter().map(|slot| {
            (
                self.plan.get().name(py, slot.node),
                slot.worker,
                slot.start,
                slot.end,
            )
        });
        PyList::new(py, slots)
    }

    /// How long nodes took in earlier runs, as far as it is known.
    ///
    /// The scheduler learns them from nodes that ran beside others; a run with
    /// `measure=True` measures every node.
    ///
    /// Returns:
    ///     Seconds by node name, in topological order.
    ///
    /// Example:
    ///     >>> from nexus_core import TaskGraph
    ///     >>> graph = TaskGraph()
    ///     >>> _ = graph.add("nap", __import__("time").sleep, 0.01)
    ///     >>> plan = graph.compile()
    ///     >>> plan.durations()
    ///     {}
    ///     >>> _ = plan.run(measure=True)
    ///     >>> plan.durations()["nap"] >= 0.01
    ///     True
    fn durations<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let known = PyDict::new(py);
        for (node, name) in self.plan.get().names.iter().enumerate() {
            if let Some(seconds) = self.plan.get().durations.get(node as u32) {
                known.set_item(name, f64::from(seconds))?;
            }
        }
        Ok(known)
    }

    /// Hands the graph to another loop, one ready node at a time.
    ///
    /// Returns:
    ///     A new `GraphStepper` that nothing has been done in.
    ///
    /// Example:
    ///     >>> from nexus_core import TaskGraph
    ///     >>> graph = TaskGraph()
    ///     >>> _ = graph.add("second", str, graph.add("first", str))
    ///     >>> plan = graph.compile()
    ///     >>> plan.stepper().get_ready()
    ///     ('first',)
    fn stepper(&self, py: Python<'_>) -> GraphStepper {
        GraphStepper::new(self.plan.clone_ref(py))
    }

    /// Memory of the graph's structure: nodes and edges, without callables, names,
    /// arguments and results.
    ///
    /// Returns:
    ///     Bytes.
    ///
    /// Example:
    ///     >>> from nexus_core import TaskGraph
    ///     >>> graph = TaskGraph()
    ///     >>> _ = graph.add("second", str, graph.add("first", str))
    ///     >>> plan = graph.compile()
    ///     >>> plan.size_in_bytes() > 0
    ///     True
    fn size_in_bytes(&self) -> usize {
        self.plan.get().dag.size_in_bytes()
    }

    fn __len__(&self) -> usize {
        self.plan.get().names.len()
    }

    fn __repr__(&self) -> String {
        format!(
            "<CompiledGraph of {} nodes and {} edges>",
            self.plan.get().names.len(),
            self.plan.get().dag.edge_count()
        )
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.plan)
    }
}

impl CompiledGraph {
    fn named<'py>(&self, py: Python<'py>, nodes: &[u32]) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, nodes.iter().map(|&node| self.plan.get().name(py, node)))
    }

    fn simulate(
        &self,
        py: Python<'_>,
        workers: i64,
        durations: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Schedule> {
        let Ok(workers @ 1..) = usize::try_from(workers) else {
            return Err(PyValueError::new_err(format!(
                "workers must be at least 1, got {workers}"
            )));
        };
        let durations = self.plan.get().durations(py, durations)?;
        py.detach(|| self.plan.get().dag.simulate(&durations, workers))
            .map_err(|error| graph_error(py, &error, &self.plan.get().names))
    }
}
