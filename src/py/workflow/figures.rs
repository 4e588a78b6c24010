//! What a runtime counts, as Python reads it.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::core::metrics::{RunEnd, RuntimeFigures, SparseHistogram, WorkflowFigures};
use crate::core::tracing::{Shape, Status};
use crate::py::durations::durations;
use crate::py::failures::type_name;
use crate::py::tracing::{end_of, nanos};

use super::plan::WorkflowPlan;
use super::run_figures::{Found, name_of};

/// What a runtime counts.
#[pyclass(frozen, name = "_Figures", module = "nexus_core")]
pub(crate) struct Figures(pub(super) Arc<RuntimeFigures>);

#[pymethods]
impl Figures {
    #[new]
    fn new() -> Self {
        Self(Arc::default())
    }

    /// A run of Kailash's own begins; `ran` ends it.
    fn begins(&self) {
        self.0.active.begin();
    }

    /// A run of `workflow`, which has `plan` if any is known, was not needed: its results were kept.
    #[pyo3(signature = (plan, workflow))]
    fn answered(&self, plan: Option<&Bound<'_, WorkflowPlan>>, workflow: &Bound<'_, PyAny>) {
        match plan {
            Some(plan) => plan.get().plan.figures(&self.0, workflow).was_answered(),
            None => self.without_nodes(workflow).was_answered(),
        }
    }

    /// A run has ended after so many seconds, with what it raised, if anything. `plan`:
    /// what it has run, or `None` if it was Kailash's own.
    #[pyo3(signature = (plan, workflow, seconds, error=None))]
    fn ran(
        &self,
        plan: Option<&Bound<'_, WorkflowPlan>>,
        workflow: &Bound<'_, PyAny>,
        seconds: f64,
        error: Option<Bound<'_, PyAny>>,
    ) {
        let figures = if let Some(plan) = plan {
            plan.get().plan.figures(&self.0, workflow)
        } else {
            let figures = self.without_nodes(workflow);
            figures.was_delegated();
            self.0.active.end();
            Found::Other(figures)
        };
        let error = error.map(PyErr::from_value);
        ended(workflow.py(), &figures, nanos(seconds), error.as_ref());
    }

    /// A run whose nodes are in other processes is no longer under way; `begins` began it.
    fn leaves(&self) {
        self.0.active.end();
    }

    /// Nodes of a plan have ended in other processes: of each its number, the number of its
    /// status, the error's name if it has one, and the seconds that it took, waited to begin,
    /// and waited for the interpreter's lock before that.
    fn ended_elsewhere(
        &self,
        plan: &Bound<'_, WorkflowPlan>,
        workflow: &Bound<'_, PyAny>,
        nodes: Vec<(u32, u8, Option<String>, f64, f64, f64)>,
    ) -> PyResult<()> {
        let figures = plan.get().plan.figures(&self.0, workflow);
        for (node, status, error, took, queued, waited) in nodes {
            let status = end_of(status)?;
            figures.reached(node);
            match status {
                Status::Skipped => figures.skipped(node),
                Status::Cached => figures.cached(node),
                _ => {
                    figures.took(node, Duration::from_nanos(nanos(took)), 1);
                    figures.queue_wait.record_nanos(nanos(queued), 1);
                    if waited > 0.0 {
                        figures.lock_wait.record_nanos(nanos(waited), 1);
                    }
                }
            }
            if let (Status::Failed, Some(name)) = (status, error) {
                figures.node_failed(node, &name);
            }
        }
        Ok(())
    }

    /// The event loop came so many seconds later than it should have.
    fn lagged(&self, seconds: f64) {
        let lag = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        self.0.loop_lag.record(lag, 1);
    }

    /// What a look every few seconds needs: seconds since this was made, active runs, how
    /// often and by how many seconds altogether the loop was late, and by workflow the runs,
    /// the failed ones, the seconds of all of them, and the failures by type of error.
    fn totals<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let lag = &self.0.loop_lag;
        let workflows = PyDict::new(py);
        for (name, totals) in self.0.totals() {
            let failures = PyDict::new(py);
            for (error, count) in totals.failures {
                failures.set_item(error, count)?;
            }
            let seconds = totals.duration.as_secs_f64();
            workflows.set_item(name, (totals.runs, totals.failed, seconds, failures))?;
        }
        let found = PyDict::new(py);
        found.set_item("age", self.0.age().as_secs_f64())?;
        found.set_item("active", self.0.active.seen().0)?;
        found.set_item("loop_lag", (lag.count(), lag.total().as_secs_f64()))?;
        found.set_item("workflows", workflows)?;
        Ok(found)
    }

    /// Active runs and the most that were so at once; the loop's lag; and the workflows,
    /// by name. Of durations, counts up to each of `bounds`, in seconds, are told, too.
    fn read<'py>(&self, py: Python<'py>, bounds: Vec<f64>) -> PyResult<Bound<'py, PyDict>> {
        let bounds: Vec<Duration> = bounds
            .into_iter()
            .map(|bound| Duration::try_from_secs_f64(bound).unwrap_or(Duration::MAX))
            .collect();
        let found = PyDict::new(py);
        found.set_item("active", self.0.active.seen())?;
        found.set_item("loop_lag", seen(py, &self.0.loop_lag, &bounds)?)?;
        let workflows = PyDict::new(py);
        for figures in by_name(self.0.workflows()) {
            workflows.set_item(&figures.name, described(py, &figures, &bounds)?)?;
        }
        found.set_item("workflows", workflows)?;
        let (queue_wait, lock_wait) = (SparseHistogram::default(), SparseHistogram::default());
        for figures in self.0.workflows() {
            queue_wait.fold(&figures.queue_wait);
            lock_wait.fold(&figures.lock_wait);
        }
        found.set_item("queue_wait", seen(py, &queue_wait, &bounds)?)?;
        found.set_item("lock_wait", seen(py, &lock_wait, &bounds)?)?;
        Ok(found)
    }
}

impl Figures {
    /// The figures of a workflow of whose nodes nothing is known.
    fn without_nodes(&self, workflow: &Bound<'_, PyAny>) -> Arc<WorkflowFigures> {
        let nothing = Shape {
            nodes: Vec::new(),
            edges: Vec::new(),
        };
        self.0.of(&name_of(workflow), &Arc::new(nothing))
    }
}

/// Counts a run that has ended, with what it raised.
pub(super) fn ended(py: Python<'_>, figures: &WorkflowFigures, nanos: u64, error: Option<&PyErr>) {
    match error {
        None => figures.ran(nanos, RunEnd::Completed),
        Some(error) => ended_with(py, figures, nanos, error),
    }
}

#[cold]
fn ended_with(py: Python<'_>, figures: &WorkflowFigures, nanos: u64, error: &PyErr) {
    let name = type_name(py, error);
    if matches!(name.as_str(), "CancelledError" | "WorkflowCancelledError") {
        return figures.ran(nanos, RunEnd::Cancelled);
    }
    figures.run_failures.count(0, &name, 1);
    figures.ran(nanos, RunEnd::Failed);
}

/// One for each name: those of several are added up.
fn by_name(all: Vec<Arc<WorkflowFigures>>) -> Vec<Arc<WorkflowFigures>> {
    let mut named: Vec<Arc<WorkflowFigures>> = Vec::new();
    for figures in all {
        let Some(place) = named.iter().position(|known| known.name == figures.name) else {
            named.push(figures);
            continue;
        };
        let known = &named[place];
        let latest = if figures.known_nodes() > 0 {
            &figures
        } else {
            known
        };
        let shape = Arc::clone(latest.shape());
        let sum = WorkflowFigures::new(&figures.name, shape, usize::MAX, Arc::default());
        sum.fold(known);
        sum.fold(&figures);
        named[place] = Arc::new(sum);
    }
    named
}

fn seen<'py>(
    py: Python<'py>,
    histogram: &SparseHistogram,
    bounds: &[Duration],
) -> PyResult<Bound<'py, PyDict>> {
    let snapshot = histogram.snapshot();
    let counts: Vec<u64> = bounds
        .iter()
        .map(|&bound| snapshot.at_most(bound))
        .collect();
    let found = PyDict::new(py);
    found.set_item("durations", durations(py, &snapshot)?)?;
    found.set_item("measured", histogram.measured())?;
    found.set_item("at_most", counts)?;
    Ok(found)
}

fn described<'py>(
    py: Python<'py>,
    figures: &WorkflowFigures,
    bounds: &[Duration],
) -> PyResult<Bound<'py, PyDict>> {
    let [completed, failed, cancelled, delegated] = figures.runs();
    let found = PyDict::new(py);
    found.set_item("completed", completed)?;
    found.set_item("failed", failed)?;
    found.set_item("cancelled", cancelled)?;
    found.set_item("delegated", delegated)?;
    found.set_item("cached", figures.answered())?;
    found.set_item("duration", seen(py, &figures.run_seconds, bounds)?)?;
    found.set_item("queue_wait", seen(py, &figures.queue_wait, bounds)?)?;
    found.set_item("lock_wait", seen(py, &figures.lock_wait, bounds)?)?;
    let failures = PyDict::new(py);
    for (_, name, count) in figures.run_failures.all() {
        failures.set_item(name, count)?;
    }
    found.set_item("failures", failures)?;
    let node_failures = figures.node_failures.all();
    let nodes = PyList::empty(py);
    let none = SparseHistogram::default();
    for (slot, node) in figures.nodes().into_iter().enumerate() {
        let is_rest = slot == figures.known_nodes();
        if is_rest && node.executions + node.skipped + node.cached == 0 {
            continue;
        }
        let failures = PyDict::new(py);
        for (_, name, count) in node_failures.iter().filter(|(of, _, _)| *of == slot as u32) {
            failures.set_item(name, count)?;
        }
        let seconds = figures.node_seconds(slot).unwrap_or(&none);
        nodes.append((
            node.id,
            node.kind,
            node.executions,
            node.skipped,
            node.cached,
            failures,
            seen(py, seconds, bounds)?,
        ))?;
    }
    found.set_item("nodes", nodes)?;
    Ok(found)
}
