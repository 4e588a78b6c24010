//! One run of a workflow, driven from Python.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::core::locks::Mutex;
use crate::core::metrics::RuntimeFigures;
use crate::py::engine::{Driven, Execution, Inline, Limits, LoopMailbox, StopReason, Trace};

use super::cached_nodes::RunCaching;
use super::history::{RowTexts, RunRows};
use super::memory_limit::MemoryLimit;
use super::outcome::{failure, results};
use super::pinned::Pinned;
use super::plan::Plan;
use super::preparation::{Given, Part, count, prepare};
use super::program::WorkflowProgram;
use super::recording::Recording;
use super::run_figures::RunFigures;

/// `drive()` returns one of these with what belongs to it.
const FINISHED: &str = "finished";
const PINNED: &str = "pinned";
const CANCELLED: &str = "cancelled";

/// A run in progress.
#[pyclass(frozen, module = "nexus_core")]
pub(crate) struct WorkflowRun {
    pub(super) execution: Arc<Execution<WorkflowProgram>>,
    pub(super) pinned: Mutex<HashMap<u32, Pinned>>,
}

impl WorkflowRun {
    pub(super) fn new(
        py: Python<'_>,
        plan: Arc<Plan>,
        part: Part,
        given: Given<'_>,
    ) -> PyResult<Self> {
        prepare(py, plan, part, given).map(Self::of)
    }

    /// The face that a run has for Python.
    pub(super) fn of(execution: Arc<Execution<WorkflowProgram>>) -> Self {
        Self {
            execution,
            pinned: Mutex::new(HashMap::new()),
        }
    }
}

#[pymethods]
impl WorkflowRun {
    /// The ceiling that the run's code nodes are under, if it has any.
    #[getter]
    fn memory_limit(&self, py: Python<'_>) -> Option<Py<MemoryLimit>> {
        let limit = self.execution.program.memory_limit.as_ref();
        limit.map(|limit| limit.clone_ref(py))
    }

    /// Runs nodes. Returns `("finished", None)`, `("cancelled", None)`, or
    /// `("pinned", [(node, inputs), …])` with nodes to await before calling
    /// again. Raises what the first failing node in topological order left.
    fn drive<'py>(&self, py: Python<'py>) -> PyResult<(&'static str, Option<Bound<'py, PyList>>)> {
        let limits = Limits {
            deadline: None,
            caller_runs: true,
        };
        loop {
            match self.execution.drive(py, &limits)? {
                Driven::Finished => {
                    self.execution.program.is_over(true);
                    return Ok((FINISHED, None));
                }
                Driven::Stopped(reason) => {
                    self.is_over_if_idle(false);
                    return match reason {
                        StopReason::Cancelled => Ok((CANCELLED, None)),
                        _ => Err(self.failure()),
                    };
                }
                Driven::Pinned(nodes) => {
                    let waiting = self.begin_pinned(py, &nodes)?;
                    if !waiting.is_empty() {
                        return Ok((PINNED, Some(waiting)));
                    }
                }
            }
        }
    }

    /// Runs nodes on the calling thread, an event loop's. Returns whether all
    /// have run; if not, the rest is left to `begin`. Raises what a node left.
    fn run_inline(&self, py: Python<'_>) -> PyResult<bool> {
        match self.execution.run_inline(py)? {
            Inline::Finished => {
                self.execution.program.is_over(true);
                Ok(true)
            }
            Inline::Rest => Ok(false),
            Inline::Failed => {
                self.execution.program.is_over(false);
                Err(self.failure())
            }
        }
    }

    /// Has workers run the nodes from now on. Called on the loop, which calls
    /// `poll` at once, and again whenever `callback` is called there.
    fn begin(&self, py: Python<'_>, mailbox: Py<LoopMailbox>, callback: Py<PyAny>) {
        self.execution.begin_service(py, mailbox, callback);
    }

    /// Whether the run is settled, and the nodes that the loop has to await.
    fn poll<'py>(&self, py: Python<'py>) -> PyResult<(bool, Bound<'py, PyList>)> {
        let waiting = PyList::empty(py);
        loop {
            if self.execution.has_pinned {
                self.execution.heed_cancellation(py);
            }
            let nodes = self.execution.take_for_loop();
            if nodes.is_empty() {
                return Ok((self.execution.is_settled(), waiting));
            }
            // What is skipped may be followed by more.
            for node in self.begin_pinned(py, &nodes)? {
                waiting.append(node)?;
            }
        }
    }

    /// Nodes that workers have run and that are to be confirmed:
    /// `(node, output, began, ended)`, in seconds since the epoch. Called after `poll`.
    fn take_unconfirmed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        match &self.execution.program.confirmations {
            Some(confirmations) => confirmations.take_untold(py),
            None => Ok(PyList::empty(py)),
        }
    }

    /// Finishes a node that was to be confirmed, or fails it with `error`.
    #[pyo3(signature = (node, error=None))]
    fn confirm(&self, py: Python<'_>, node: u32, error: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let error = error.map(PyErr::from_value);
        let program = &self.execution.program;
        let (seconds, ended) = program.end_confirmed(py, node, error)?;
        let position = program.stage.position(node).unwrap_or(node);
        if let Some(recording) = program.recording.get() {
            recording.ended(position, Instant::now());
        }
        self.execution.confirm(py, position, seconds, ended.err());
        Ok(())
    }

    /// An awaited node has run, and is going to be confirmed: what comes until
    /// `finish_pinned` is no time of its own.
    fn awaits_confirmation(&self, node: u32) {
        if let Some(pinned) = self.pinned.lock().get_mut(&node) {
            pinned.ran = Some(Instant::now());
        }
    }

    /// Lets the calling context see what nodes on workers have set.
    fn catch_up(&self, py: Python<'_>) -> PyResult<()> {
        self.execution.context.catch_up(py)
    }

    /// How a run under `LocalRuntime`'s rules has ended: as `drive` says it.
    fn conclude(&self) -> PyResult<&'static str> {
        if self.execution.is_refused() {
            self.check()?;
        }
        match self.execution.ended() {
            Driven::Stopped(StopReason::Cancelled) if self.first_pending().is_some() => {
                Ok(CANCELLED)
            }
            Driven::Finished | Driven::Pinned(_) | Driven::Stopped(StopReason::Cancelled) => {
                Ok(FINISHED)
            }
            Driven::Stopped(_) => Err(self.failure()),
        }
    }

    /// Raises what the first failing node in topological order left, if any did.
    fn check(&self) -> PyResult<()> {
        match self.execution.take_failure() {
            Some((_, error)) => {
                self.is_over_if_idle(false);
                Err(error)
            }
            None if self.execution.is_refused() => Err(PyRuntimeError::new_err(
                "the interpreter is shutting down: no worker runs the rest of this workflow",
            )),
            None => Ok(()),
        }
    }

    /// The run is over: it stands in no line any more.
    fn retire(&self) {
        self.execution.retire();
        self.is_over_if_idle(matches!(self.execution.ended(), Driven::Finished));
    }

    /// Nothing starts from now on.
    fn abandon(&self) {
        self.execution.abandon_service(StopReason::Cancelled);
        self.is_over_if_idle(false);
    }

    /// Whether no node is running.
    fn is_idle(&self) -> bool {
        self.execution.is_idle()
    }

    /// Lets no node start, or lets the run go on.
    fn set_paused(&self, py: Python<'_>, paused: bool) {
        self.execution.set_paused(py, paused);
    }

    /// From the first node on, all that are ready may run together.
    fn hand_over(&self) {
        self.execution.run.hand_over_at_rest();
    }

    /// Reports an awaited node: what it returned, or what it raised.
    #[pyo3(signature = (node, output, error=None))]
    fn finish_pinned(
        &self,
        py: Python<'_>,
        node: u32,
        output: Bound<'_, PyAny>,
        error: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.end_awaited(py, node, output, error)
    }

    /// The output of an awaited node was taken from the cache.
    fn mark_taken(&self, node: u32) {
        if let Some(caching) = &self.execution.program.caching {
            caching.mark_taken(node);
        }
    }

    /// Whether the run has begun inside of a cached node, and so waits for no others.
    fn is_nested(&self) -> bool {
        let caching = self.execution.program.caching.as_ref();
        caching.is_some_and(RunCaching::is_nested)
    }

    /// Whether a node's output was taken from the cache.
    fn was_taken(&self, node: u32) -> bool {
        let caching = self.execution.program.caching.as_ref();
        caching.is_some_and(|caching| caching.was_taken(node))
    }

    /// Every node's result, in topological order.
    fn results<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        results(py, &self.execution)
    }

    /// Results so far, by node id: what stock's functions look sources up in.
    fn outputs(&self, py: Python<'_>) -> Py<PyDict> {
        self.execution.program.results.clone_ref(py)
    }

    fn completed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.execution.program.completed(py)
    }

    fn first_pending(&self) -> Option<u32> {
        self.execution.program.first_pending()
    }

    /// `(node, thread, start, end)` for each node, in seconds since the start.
    fn trace<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let program = &self.execution.program;
        let spans = self
            .execution
            .trace
            .as_ref()
            .map_or_else(Vec::new, Trace::spans);
        let entries = spans.into_iter().map(|span| {
            let index = program.stage.node(span.node);
            let id = program.plan.nodes[index as usize].id.clone_ref(py);
            (id, span.thread, span.start, span.end)
        });
        PyList::new(py, entries)
    }

    /// Rows for the run history with the time at which the run began and the
    /// length of their texts; `None` without history.
    fn history_rows<'py>(
        &self,
        py: Python<'py>,
        encode: Bound<'py, PyAny>,
        skipped: Bound<'py, PyAny>,
        taken: Bound<'py, PyAny>,
        own_metadata: Bound<'py, PyDict>,
    ) -> PyResult<Option<(f64, usize, Bound<'py, PyList>)>> {
        let Some(shared) = &self.execution.program.rows else {
            return Ok(None);
        };
        let rows = std::mem::replace(&mut *shared.lock(), RunRows::new());
        let texts = RowTexts {
            encode,
            skipped,
            taken,
            own_metadata,
        };
        let nodes = &self.execution.program.plan.nodes;
        let tasks = rows.task_rows(py, nodes, &texts)?;
        Ok(Some((rows.began(), rows.text_bytes(), tasks)))
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        // A worker that still runs a node holds it too, out of the collector's sight.
        if Arc::strong_count(&self.execution) > 1 {
            return Ok(());
        }
        let program = &self.execution.program;
        program.host.traverse(&visit)?;
        visit.call(&program.results)?;
        visit.call(&program.workflow_context)?;
        visit.call(&program.parameters)?;
        visit.call(&program.round)?;
        if let Some(caching) = &program.caching {
            caching.traverse(&visit)?;
        }
        self.execution.traverse_listener(&visit)?;
        self.execution.context.traverse(&visit)
    }

    /// The context that the run's nodes share.
    fn context(&self, py: Python<'_>) -> Py<PyAny> {
        self.execution.context.object(py)
    }
}

impl WorkflowRun {
    fn failure(&self) -> PyErr {
        failure(&self.execution)
    }

    /// The run has ended. What still runs is counted when nobody has the run any longer,
    /// which whoever keeps its error may put off.
    fn is_over_if_idle(&self, is_whole: bool) {
        let program = &self.execution.program;
        if self.execution.is_idle() {
            program.is_over(is_whole);
        } else if let Some(figures) = program.figures.get() {
            figures.leave();
        }
    }

    /// Has the nodes taken down; only the first time, and before any has run.
    pub(crate) fn record(&self, recording: Recording) {
        let program = &self.execution.program;
        if program.recording.set(recording).is_ok() {
            program.is_watched.store(true, Ordering::Relaxed);
        }
    }

    /// Has the run counted, which has not begun.
    pub(super) fn count(&self, runtime: &Arc<RuntimeFigures>, workflow: &Bound<'_, PyAny>) {
        let figures = self.execution.program.plan.figures(runtime, workflow);
        count(&self.execution, RunFigures::new(figures));
    }

    pub(crate) fn node_count(&self) -> usize {
        self.execution.program.stage.len()
    }
}
