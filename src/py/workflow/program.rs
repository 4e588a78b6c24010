//! A run of a workflow: runs nodes, keeps their outputs, asks the host where
//! Kailash's own functions have to decide.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::core::locks::Mutex;
use crate::core::processes::Place;
use crate::core::schedule::Run;
use crate::core::threads::Spent;
use crate::py::engine::{Program, Site, Slots, Step};
use crate::py::errors::exception;
use crate::py::values::{StockFunctions, sanitize_parameters};

use super::cached_nodes::RunCaching;
use super::clock::NodeClock;
use super::code::Sanitized;
use super::confirmations::Confirmations;
use super::history::RunRows;
use super::host::Host;
use super::memory_limit::MemoryLimit;
use super::node::{Body, Node};
use super::options::RunOptions;
use super::outputs::Kind;
use super::plan::Plan;
use super::recording::Recording;
use super::remote::RemoteNodes;
use super::round::Round;
use super::run_figures::RunFigures;
use super::stage::Stage;

/// Whose rules a run follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `kailash.runtime.local.LocalRuntime`.
    Local,
    /// `kailash.runtime.async_local.AsyncLocalRuntime`.
    Async,
    /// `kailash.workflow.cyclic_runner.CyclicWorkflowExecutor`.
    Cyclic,
}

pub(super) struct WorkflowProgram {
    pub(super) plan: Arc<Plan>,
    /// Which of the plan's nodes run.
    pub(super) stage: Arc<Stage>,
    /// For a workflow with cycles.
    pub(super) round: Option<Py<Round>>,
    pub(super) host: Host,
    pub(super) dialect: Dialect,
    pub(super) settings: RunOptions,
    pub(super) memory_limit: Option<Py<MemoryLimit>>,
    pub(super) slots: Slots,
    kinds: Box<[AtomicU8]>,
    /// Nobody looks at inputs, and the memory limit holds for the whole run.
    plain: bool,
    pub(super) results: Py<PyDict>,
    pub(super) parameters: Option<Py<PyDict>>,
    /// They are the same for all nodes, and sanitising leaves their names alone.
    pub(super) simple_parameters: bool,
    pub(super) rows: Option<Arc<Mutex<RunRows>>>,
    pub(super) clock: NodeClock,
    context_functions: OnceLock<(Py<PyAny>, Py<PyAny>)>,
    pub(super) workflow_context: Py<PyDict>,
    /// Nodes that have run and wait to be confirmed, in a run that confirms.
    pub(super) confirmations: Option<Confirmations>,
    /// Where the run is taken down, if it is traced.
    pub(super) recording: OnceLock<Recording>,
    /// Where the run is counted.
    pub(super) run_figures: Option<RunFigures>,
    /// Nodes are taken down or timed one by one.
    pub(super) is_watched: AtomicBool,
    /// In a run some of whose nodes are cached.
    pub(super) caching: Option<RunCaching>,
    /// In a run some of whose nodes may run in other processes.
    pub(super) remote: Option<Py<RemoteNodes>>,
}

/// What a node left behind.
pub(super) enum Ended<'py> {
    Output(Bound<'py, PyAny>),
    Skipped,
}

impl WorkflowProgram {
    #[allow(clippy::too_many_arguments)] // built in one place
    pub(super) fn new(
        py: Python<'_>,
        plan: Arc<Plan>,
        stage: Arc<Stage>,
        host: Host,
        dialect: Dialect,
        settings: RunOptions,
        memory_limit: Option<Py<MemoryLimit>>,
        results: Py<PyDict>,
        parameters: Option<Py<PyDict>>,
        workflow_context: Py<PyDict>,
        rows: Option<Arc<Mutex<RunRows>>>,
    ) -> Self {
        // Those of a stage may look at outputs of any node, those of a round do so by id.
        let count = match dialect {
            Dialect::Cyclic => stage.len(),
            _ => plan.nodes.len(),
        };
        let unwatched = !(settings.observed
            || settings.stock_inputs
            || settings.stock_execute
            || settings.logs_nodes
            || settings.guards_each_node);
        let mut program = Self {
            plain: unwatched && dialect != Dialect::Cyclic,
            simple_parameters: false,
            plan,
            stage,
            round: None,
            host,
            dialect,
            settings,
            memory_limit,
            slots: Slots::new(count),
            kinds: (0..count).map(|_| AtomicU8::new(0)).collect(),
            results,
            parameters,
            rows,
            clock: NodeClock,
            context_functions: OnceLock::new(),
            workflow_context,
            confirmations: settings.confirms.then(Confirmations::default),
            recording: OnceLock::new(),
            run_figures: None,
            is_watched: AtomicBool::new(false),
            caching: None,
            remote: None,
        };
        program.simple_parameters = program.dialect == Dialect::Async && program.are_simple(py);
        program
    }

    /// Takes over outputs of nodes that ran before, by node id.
    pub(super) fn know(&self, prior: &Bound<'_, PyDict>) -> PyResult<()> {
        for (index, node) in (0..).zip(&self.plan.nodes) {
            let Some(output) = prior.get_item(&node.id)? else {
                continue;
            };
            let kind = if output.is_none() {
                Kind::Skipped
            } else {
                Kind::of(&output)
            };
            self.set_kind(index, kind);
            // SAFETY: no node runs yet.
            unsafe { self.slots.fill(self.place(index), output.unbind()) };
        }
        Ok(())
    }

    /// Where the output of a node that may run is kept.
    #[inline]
    pub(super) fn place(&self, index: u32) -> u32 {
        match self.dialect {
            Dialect::Cyclic => self.stage.position(index).unwrap_or(0),
            _ => index,
        }
    }

    /// The output of a node that has run.
    pub(super) fn output_of(&self, index: u32) -> Option<&Py<PyAny>> {
        // SAFETY: asked for nodes that have finished only.
        unsafe { self.slots.get(self.place(index)) }
    }

    pub(super) fn kind(&self, index: u32) -> Kind {
        Kind::from_u8(self.kinds[self.place(index) as usize].load(Ordering::Acquire))
    }

    pub(super) fn set_kind(&self, index: u32, kind: Kind) {
        self.kinds[self.place(index) as usize].store(kind as u8, Ordering::Release);
    }

    /// The parameters that the caller gave for one node.
    pub(super) fn parameters_of<'py>(
        &self,
        py: Python<'py>,
        index: u32,
    ) -> Option<Bound<'py, PyDict>> {
        let parameters = self.parameters.as_ref()?.bind(py);
        let node = &self.plan.nodes[index as usize];
        parameters.get_item(&node.id).ok()??.cast_into().ok()
    }

    /// Functions bound to this run's workflow context.
    pub(super) fn context_functions(&self, py: Python<'_>) -> PyResult<&(Py<PyAny>, Py<PyAny>)> {
        if let Some(functions) = self.context_functions.get() {
            return Ok(functions);
        }
        let functions = self
            .host
            .bind(py)
            .ask(intern!(py, "context_functions"), ())?
            .extract()?;
        Ok(self.context_functions.get_or_init(|| functions))
    }

    /// `validate_node_parameters`, natively where that is possible.
    pub(super) fn sanitize<'py>(
        &self,
        index: u32,
        values: &Bound<'py, PyDict>,
        stock: &StockFunctions,
    ) -> PyResult<Sanitized<'py>> {
        if let Some(sanitized) = sanitize_parameters(values, stock)? {
            return Ok(Sanitized {
                values: sanitized.cast_into()?,
                is_told: false,
            });
        }
        let host = self.host.bind(values.py());
        let name = intern!(values.py(), "sanitize");
        Ok(Sanitized {
            values: host.ask(name, (index, values))?.cast_into()?,
            is_told: true,
        })
    }

    /// What stock would raise in place of `error`, which a node's body raised.
    /// Exceptions that stock does not catch stay as they are.
    pub(super) fn ask_host(
        &self,
        py: Python<'_>,
        question: &str,
        index: u32,
        error: PyErr,
    ) -> PyErr {
        if !error.is_instance_of::<PyException>(py) {
            return error;
        }
        match self
            .host
            .bind(py)
            .ask(question, (index, exception(py, &error)))
        {
            Ok(replacement) => PyErr::from_value(replacement),
            Err(raised) => raised,
        }
    }

    /// What stock would raise when code failed, or took too long, or both.
    pub(super) fn code_failed(
        &self,
        py: Python<'_>,
        index: u32,
        error: Option<&PyErr>,
        elapsed: Option<f64>,
    ) -> PyResult<PyErr> {
        if elapsed.is_none()
            && let Some(error) = error
            && !error.is_instance_of::<PyException>(py)
        {
            return Ok(error.clone_ref(py));
        }
        let value = error.map(|error| exception(py, error));
        let name = intern!(py, "code_failed");
        let replacement = self.host.bind(py).ask(name, (index, value, elapsed))?;
        Ok(PyErr::from_value(replacement))
    }

    fn run_node<'py>(
        &self,
        py: Python<'py>,
        index: u32,
        node: &Node,
        inputs: &Bound<'py, PyDict>,
    ) -> PyResult<Ended<'py>> {
        if self.is_skipped(py, index, node, inputs)? {
            return Ok(Ended::Skipped);
        }
        if self.dialect == Dialect::Async {
            self.tell_started(py, index)?;
        }
        self.run_started(py, index, node, inputs).map(Ended::Output)
    }

    pub(super) fn tell_started(&self, py: Python<'_>, index: u32) -> PyResult<()> {
        if self.settings.observed {
            let host = self.host.bind(py);
            host.ask(intern!(py, "node_started"), (index,))?;
        }
        Ok(())
    }

    pub(super) fn begin_node(&self, py: Python<'_>, index: u32) -> PyResult<Option<Instant>> {
        if self.dialect != Dialect::Async {
            self.tell_started(py, index)?;
        }
        let is_timed = self.rows.is_some() || self.settings.observed || self.settings.confirms;
        Ok(is_timed.then(Instant::now))
    }

    #[inline]
    fn execute_uncached(&self, py: Python<'_>, index: u32) -> PyResult<()> {
        let node = &self.plan.nodes[index as usize];
        let started = self.begin_node(py, index)?;
        if self.dialect == Dialect::Cyclic {
            let (merged, context) = self.assemble_for_round(py, index)?;
            let ended = self.run_in_round(py, index, node, &merged, &context);
            return self.end_node(py, index, Some(&merged), ended, started);
        }
        if self.plain
            && let Body::Code(code) = &node.body
            && (self.dialect == Dialect::Async || self.parameters_of(py, index).is_none())
            && self.place_of_node(index) == Place::Here
        {
            match code.run_plain(self, py, node, index) {
                Ok(None) => {}
                Ok(Some(outputs)) => {
                    let ended = Ok(Ended::Output(outputs.into_any()));
                    return self.ran(py, index, None, ended, started);
                }
                Err(error) => return self.end_node(py, index, None, Err(error), started),
            }
        }
        let inputs = match self.assemble(py, index) {
            Ok(inputs) => inputs,
            Err(error) => return self.end_node(py, index, None, Err(error), started),
        };
        let ended = self.run_node(py, index, node, &inputs);
        self.ran(py, index, Some(&inputs), ended, started)
    }

    /// Node ids whose output is kept, in topological order.
    pub(super) fn completed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let done = self
            .stage
            .nodes()
            .filter(|&index| matches!(self.kind(index), Kind::Clean | Kind::AskStock));
        PyList::new(py, done.map(|index| &self.plan.nodes[index as usize].id))
    }

    /// The first node in topological order that has not run.
    pub(super) fn first_pending(&self) -> Option<u32> {
        self.stage
            .nodes()
            .find(|&index| self.kind(index) == Kind::Pending)
    }

    /// Runs the node at a position.
    #[inline]
    pub(super) fn run_at(&self, py: Python<'_>, position: u32, site: Site) -> PyResult<Step> {
        let index = self.stage.node(position);
        if self.settings.tracks && self.replay(py, index)? {
            return Ok(Step::Ended);
        }
        if let Some(caching) = &self.caching
            && caching.nodes.get().caches(index)
        {
            return self.execute_cached(py, caching, index, site);
        }
        self.execute_uncached(py, index).map(|()| Step::Ended)
    }
}

impl Program for WorkflowProgram {
    const WANTS_TICKS: bool = true;

    fn execute(&self, py: Python<'_>, position: u32, site: Site) -> PyResult<Step> {
        if self.is_watched.load(Ordering::Relaxed) {
            return self.run_watched(py, position, site);
        }
        self.run_at(py, position, site)
    }

    fn is_shared(&self, run: &Run) {
        if let Some(figures) = self.figures() {
            run.measure_queue(Arc::clone(&figures.queue_wait));
        }
    }

    fn came(&self, waited: Duration) {
        if let Some(figures) = self.figures() {
            figures.lock_wait.record(waited, 1);
        }
    }

    fn confirms(&self) -> bool {
        self.settings.confirms
    }

    fn is_unconfirmed(&self, position: u32) -> bool {
        self.confirmations
            .as_ref()
            .is_some_and(|confirmations| confirmations.holds(self.stage.node(position)))
    }
    fn between_nodes(&self, py: Python<'_>) {
        if (self.settings.guards_memory || self.settings.guards_stretch)
            && let Some(limit) = &self.memory_limit
            && let Err(error) = limit.get().rebase(py)
        {
            error.write_unraisable(py, None);
        }
    }

    fn begin_stretch(&self, py: Python<'_>) -> bool {
        if !self.settings.guards_stretch {
            return false;
        }
        match self.enter_memory_limit(py) {
            Ok(()) => true,
            Err(error) => {
                error.write_unraisable(py, None);
                false
            }
        }
    }

    fn end_stretch(&self, py: Python<'_>) {
        if let Err(error) = self.leave_memory_limit(py) {
            error.write_unraisable(py, None);
        }
    }

    fn ran_alone(&self, spent: Spent) {
        let is_typical = !self.caching.as_ref().is_some_and(RunCaching::has_missed);
        if self.stage.is_whole() && is_typical {
            self.plan.brevity.observe(spent);
        }
    }

    fn is_cancelled(&self, py: Python<'_>) -> PyResult<bool> {
        self.host
            .bind(py)
            .ask(intern!(py, "is_cancelled"), ())?
            .is_truthy()
    }

    fn can_be_cancelled(&self) -> bool {
        self.settings.checks_cancellation
    }
}
