//! A compiled graph: runs, and answers questions about itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyMapping, PyString, PyTuple};

use crate::core::graph::TaskDag;
use crate::core::schedule::{LearnedDurations, Run, RunSettings};
use crate::py::engine::{Driven, Execution, Limits, RunContext, Slots, StopReason};
use crate::py::errors::{graph_error, raise};

use super::arguments::Argument;
use super::program::{GraphProgram, Release};
use super::stepper::GraphStepper;
use super::tokens::CancellationToken;

/// One node: what is called, and where its arguments stand in the plan's list.
pub(super) struct Task {
    pub(super) callable: Py<PyAny>,
    pub(super) first: u32,
    pub(super) positional: u32,
    pub(super) keywords: Option<Py<PyTuple>>,
}

impl Task {
    pub(super) fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            callable: self.callable.clone_ref(py),
            first: self.first,
            positional: self.positional,
            keywords: self.keywords.as_ref().map(|names| names.clone_ref(py)),
        }
    }
}

/// Everything that does not change from run to run, nodes in topological order.
pub(super) struct Plan {
    pub(super) dag: Arc<TaskDag>,
    pub(super) names: Vec<Py<PyString>>,
    pub(super) tasks: Vec<Task>,
    arguments: Vec<Argument>,
    /// Input names with their defaults.
    inputs: Vec<(Py<PyString>, Option<Py<PyAny>>)>,
    durations: Arc<LearnedDurations>,
    numbers: std::sync::OnceLock<Py<PyDict>>,
}

impl Plan {
    pub(super) fn new(
        dag: TaskDag,
        names: Vec<Py<PyString>>,
        tasks: Vec<Task>,
        arguments: Vec<Argument>,
        inputs: Vec<(Py<PyString>, Option<Py<PyAny>>)>,
    ) -> Self {
        let durations = super::builder::learned(&dag);
        Self {
            dag: Arc::new(dag),
            names,
            tasks,
            arguments,
            inputs,
            durations,
            numbers: std::sync::OnceLock::new(),
        }
    }

    #[inline]
    pub(super) fn arguments_of(&self, task: &Task) -> &[Argument] {
        let keywords = task.keywords.as_ref().map_or(0, |names| {
            // SAFETY: `names` is a tuple; its length never changes.
            unsafe { pyo3::ffi::PyTuple_GET_SIZE(names.as_ptr()) as usize }
        });
        let first = task.first as usize;
        &self.arguments[first..first + task.positional as usize + keywords]
    }

    pub(super) fn name(&self, py: Python<'_>, node: u32) -> Py<PyString> {
        self.names[node as usize].clone_ref(py)
    }

    /// The position of a node given by name.
    pub(super) fn number(&self, name: &Bound<'_, PyAny>) -> PyResult<u32> {
        let py = name.py();
        let numbers = match self.numbers.get() {
            Some(numbers) => numbers,
            None => {
                let numbers = PyDict::new(py);
                for (number, name) in self.names.iter().enumerate() {
                    numbers.set_item(name, number)?;
                }
                self.numbers.get_or_init(|| numbers.unbind())
            }
        };
        match numbers.bind(py).get_item(name)? {
            Some(number) => number.extract(),
            None => Err(raise(py, "UnknownNode", (name.clone(), py.None()))),
        }
    }

    fn bind_inputs(
        &self,
        py: Python<'_>,
        given: Option<&Bound<'_, PyMapping>>,
    ) -> PyResult<Vec<Py<PyAny>>> {
        let mut values = Vec::with_capacity(self.inputs.len());
        let mut missing = Vec::new();
        let mut used = 0;
        for (name, default) in &self.inputs {
            let name = name.bind(py);
            let value = match given {
                Some(given) if given.contains(name)? => {
                    used += 1;
                    Some(given.get_item(name)?.unbind())
                }
                _ => default.as_ref().map(|value| value.clone_ref(py)),
            };
            match value {
                Some(value) => values.push(value),
                None => missing.push(name.clone()),
            }
        }
        if !missing.is_empty() {
            return Err(raise(py, "MissingInput", (PyTuple::new(py, missing)?,)));
        }
        if let Some(given) = given
            && given.len()? != used
        {
            let known = PyTuple::new(py, self.inputs.iter().map(|(name, _)| name))?;
            let unknown: Vec<_> = given
                .keys()?
                .iter()
                .filter(|key| !known.contains(key).unwrap_or(false))
                .collect();
            return Err(raise(
                py,
                "UnknownInput",
                (PyTuple::new(py, unknown)?, known),
            ));
        }
        Ok(values)
    }

    /// One duration a node, in seconds: given by name, or learned.
    fn durations(&self, py: Python<'_>, given: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<f64>> {
        let Some(given) = given else {
            if (0..self.names.len() as u32).all(|node| self.durations.get(node).is_none()) {
                return Err(raise(py, "NoDurations", ()));
            }
            return Ok(self.durations.all());
        };
        let Ok(given) = given.cast::<PyMapping>() else {
            return Err(PyTypeError::new_err(format!(
                "durations must be a mapping of node name to seconds, got {}",
                given.repr()?
            )));
        };
        let mut durations = vec![f64::NAN; self.names.len()];
        for item in given.items()?.iter() {
            let (name, seconds): (Bound<'_, PyAny>, f64) = item.extract()?;
            durations[self.number(&name)? as usize] = seconds;
        }
        if let Some(node) = (0..durations.len()).find(|&node| {
            durations[node].is_nan() && !given.contains(&self.names[node]).unwrap_or(false)
        }) {
            return Err(PyValueError::new_err(format!(
                "durations lacks node {}; give seconds for every node",
                self.names[node].bind(py).repr()?
            )));
        }
        Ok(durations)
    }
}

/// A graph ready to run, any number of times and from any number of threads.
#[pyclass(frozen, module = "nexus_core")]
pub(crate) struct CompiledGraph {
    plan: Arc<Plan>,
}

impl CompiledGraph {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            plan: Arc::new(plan),
        }
    }
}

/// How many nodes run at once unless the caller says otherwise: what the
/// standard library's thread pool uses.
fn default_concurrency() -> usize {
    // Asking reads several files.
    static CORES: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    let cores = CORES
        .get_or_init(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    (cores + 4).min(32)
}

fn concurrency(given: Option<i64>) -> PyResult<usize> {
    match given {
        None => Ok(default_concurrency()),
        Some(limit) if limit >= 1 => Ok(limit as usize),
        Some(limit) => Err(PyValueError::new_err(format!(
            "max_concurrency must be at least 1, got {limit}"
        ))),
    }
}

fn deadline(timeout: Option<f64>) -> PyResult<Option<Instant>> {
    let Some(seconds) = timeout else {
        return Ok(None);
    };
    if !(seconds > 0.0) {
        return Err(PyValueError::new_err(format!(
            "timeout must be a positive number of seconds, got {seconds}"
        )));
    }
    // More than the clock can express is no limit.
    Ok(Duration::try_from_secs_f64(seconds)
        .ok()
        .and_then(|limit| Instant::now().checked_add(limit)))
}

#[pymethods]
impl CompiledGraph {
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
        let plan = &self.plan;
        let limit = concurrency(max_concurrency)?;
        let deadline = deadline(timeout)?;
        let keep = outputs.map(|names| self.selected(names)).transpose()?;
        let cancel = cancel.map(|token| Arc::clone(&token.get().state));
        let program = GraphProgram {
            plan: Arc::clone(plan),
            slots: Slots::new(plan.names.len()),
            inputs: plan.bind_inputs(py, inputs)?,
            release: keep.clone().map(|keep| Release::new(plan, keep)),
            cancel,
        };
        let settings = RunSettings {
            limit,
            pinned: Arc::from([]),
            durations: Arc::clone(&plan.durations),
        };
        let run = Arc::new(Run::new(Arc::clone(&plan.dag), settings));
        let context = RunContext::copy_current(py)?;
        let execution = Execution::new(run, program, context, false, measure);
        let limits = Limits {
            deadline,
            caller_runs: deadline.is_none(),
        };
        let driven = execution.drive(py, &limits)?;
        if let Some(trace) = &execution.trace {
            for span in trace.spans() {
                plan.durations
                    .observe(span.node, (span.end - span.start) as f32);
            }
            plan.durations.refresh(&plan.dag);
        }
        match driven {
            Driven::Finished => self.collect(py, &execution.program, keep.as_deref()),
            Driven::Stopped(StopReason::TimedOut) => {
                Err(raise(py, "RunTimeout", (timeout, plan.names.len())))
            }
            Driven::Stopped(StopReason::Cancelled) => {
                let reason = execution
                    .program
                    .cancel
                    .as_ref()
                    .and_then(|state| state.reason());
                Err(raise(py, "RunCancelled", (reason,)))
            }
            Driven::Stopped(StopReason::Failed) => Err(self.failure(py, &execution)),
            Driven::Pinned(_) => Err(pyo3::exceptions::PySystemError::new_err(
                "a task graph has no pinned nodes",
            )),
        }
    }

    fn topological_order<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, &self.plan.names)
    }

    fn levels<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let levels = py.detach(|| self.plan.dag.levels());
        let named: Vec<_> = levels
            .iter()
            .map(|level| self.named(py, level))
            .collect::<PyResult<_>>()?;
        PyList::new(py, named)
    }

    fn predecessors<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        self.named(py, self.plan.dag.predecessors(self.plan.number(name)?))
    }

    fn successors<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        self.named(py, self.plan.dag.successors(self.plan.number(name)?))
    }

    #[pyo3(signature = (durations=None))]
    fn critical_path<'py>(
        &self,
        py: Python<'py>,
        durations: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyList>, f64)> {
        let durations = self.plan.durations(py, durations)?;
        let path = py
            .detach(|| self.plan.dag.critical_path(&durations))
            .map_err(|error| graph_error(py, &error, &self.plan.names))?;
        Ok((self.named(py, &path.nodes)?, path.length))
    }

    #[pyo3(signature = (durations=None))]
    fn slack<'py>(
        &self,
        py: Python<'py>,
        durations: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let durations = self.plan.durations(py, durations)?;
        let slack = py
            .detach(|| self.plan.dag.slack(&durations))
            .map_err(|error| graph_error(py, &error, &self.plan.names))?;
        let named = PyDict::new(py);
        for (name, seconds) in self.plan.names.iter().zip(slack) {
            named.set_item(name, seconds)?;
        }
        Ok(named)
    }

    #[pyo3(signature = (workers, durations=None))]
    fn predict_makespan(
        &self,
        py: Python<'_>,
        workers: i64,
        durations: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<f64> {
        Ok(self.simulate(py, workers, durations)?.makespan)
    }

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
                self.plan.name(py, slot.node),
                slot.worker,
                slot.start,
                slot.end,
            )
        });
        PyList::new(py, slots)
    }

    fn durations<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let known = PyDict::new(py);
        for (node, name) in self.plan.names.iter().enumerate() {
            if let Some(seconds) = self.plan.durations.get(node as u32) {
                known.set_item(name, f64::from(seconds))?;
            }
        }
        Ok(known)
    }

    fn stepper(&self) -> GraphStepper {
        GraphStepper::new(Arc::clone(&self.plan))
    }

    fn size_in_bytes(&self) -> usize {
        self.plan.dag.size_in_bytes()
    }

    fn __len__(&self) -> usize {
        self.plan.names.len()
    }

    fn __repr__(&self) -> String {
        format!(
            "<CompiledGraph of {} nodes and {} edges>",
            self.plan.names.len(),
            self.plan.dag.edge_count()
        )
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        // Runs in flight share the plan and are not visible to the collector;
        // visiting it then could make it look unreachable.
        if Arc::strong_count(&self.plan) > 1 {
            return Ok(());
        }
        for task in &self.plan.tasks {
            visit.call(&task.callable)?;
        }
        self.plan
            .arguments
            .iter()
            .try_for_each(|argument| argument.traverse(&visit))
    }
}

impl CompiledGraph {
    fn selected(&self, names: &Bound<'_, PyAny>) -> PyResult<Vec<bool>> {
        if names.is_instance_of::<PyString>() {
            return Err(PyTypeError::new_err(format!(
                "outputs must be a list of node names, got the string {}",
                names.repr()?
            )));
        }
        let mut keep = vec![false; self.plan.names.len()];
        for name in names.try_iter()? {
            let name = name?;
            let number = match name.cast_exact::<super::tokens::Ref>() {
                Ok(reference) => self.plan.number(reference.get().name.bind(name.py()))?,
                Err(_) => self.plan.number(&name)?,
            };
            keep[number as usize] = true;
        }
        Ok(keep)
    }

    fn collect<'py>(
        &self,
        py: Python<'py>,
        program: &GraphProgram,
        keep: Option<&[bool]>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let results = PyDict::new(py);
        for (node, name) in self.plan.names.iter().enumerate() {
            if keep.is_some_and(|keep| !keep[node]) {
                continue;
            }
            // SAFETY: the run is over; all of its nodes have finished.
            if let Some(value) = unsafe { program.slots.get(node as u32) } {
                results.set_item(name, value)?;
            }
        }
        Ok(results)
    }

    fn failure(&self, py: Python<'_>, execution: &Execution<GraphProgram>) -> PyErr {
        let Some((node, error)) = execution.take_failure() else {
            return pyo3::exceptions::PySystemError::new_err("a run failed without an error");
        };
        let name = self.plan.names[node as usize].bind(py);
        // The note says which node; the exception stays the node's own.
        let note = name.repr().map(|name| format!("raised by node {name}"));
        if let Ok(note) = note {
            let _ = error.value(py).call_method1("add_note", (note,));
        }
        error
    }

    fn named<'py>(&self, py: Python<'py>, nodes: &[u32]) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, nodes.iter().map(|&node| self.plan.name(py, node)))
    }

    fn simulate(
        &self,
        py: Python<'_>,
        workers: i64,
        durations: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<crate::core::graph::Schedule> {
        let Ok(workers @ 1..) = usize::try_from(workers) else {
            return Err(PyValueError::new_err(format!(
                "workers must be at least 1, got {workers}"
            )));
        };
        let durations = self.plan.durations(py, durations)?;
        py.detach(|| self.plan.dag.simulate(&durations, workers))
            .map_err(|error| graph_error(py, &error, &self.plan.names))
    }
}
