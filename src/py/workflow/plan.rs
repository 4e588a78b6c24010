//! A workflow as it was when it was last compiled.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyType};

use crate::core::schedule::Brevity;
use crate::core::tracing::Shape;
use crate::py::engine::Places;
use crate::py::errors::graph_error;

use super::figures::{Figures, ended};
use super::host::Host;
use super::memory_limit::{Book, MemoryLimit};
use super::node::{Node, Shared};
use super::node_caching::NodeCaching;
use super::options::RunOptions;
use super::outcome::{Short, run_short};
use super::preparation::{Given, Part, Service, prepare};
use super::remote::RemoteNodes;
use super::round::Round;
use super::run::WorkflowRun;
use super::run_figures::PlanFigures;
use super::stage::{PlanStage, Stage};
use super::watch::{KeyLists, WatchedClass, WatchedDict};
use super::watched_set::{NameLists, WatchedSet};

pub(super) struct Plan {
    /// In topological order, unless the workflow has cycles.
    pub(super) nodes: Vec<Node>,
    /// All nodes; `None` where they cannot run as one graph, because some of
    /// them form cycles.
    whole: Option<Arc<Stage>>,
    /// Every node's id.
    pub(super) ids: Py<PyDict>,
    /// Whether runs are short enough for an event loop's own thread.
    pub(super) brevity: Brevity,
    /// Where stock keeps book of memory limits, and the limit of code nodes in
    /// bytes; `None` without such nodes.
    pub(super) memory_limit: Option<(Arc<Book>, u64)>,
    /// As traces show it, once one does.
    shape: OnceLock<Arc<Shape>>,
    /// Where runs are counted.
    pub(super) figures: PlanFigures,
    /// Runs made with this plan.
    pub(super) runs: AtomicU64,
    dicts: Vec<WatchedDict>,
    classes: Vec<WatchedClass>,
    sets: Vec<WatchedSet>,
}

impl Plan {
    /// One more run of all nodes.
    pub(super) fn whole_run(&self) -> PyResult<Part> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        let stage = self.whole.as_ref().ok_or_else(|| {
            PyValueError::new_err("the nodes of a workflow with cycles run in stages")
        })?;
        Ok(Part {
            stage: Arc::clone(stage),
            prior: None,
            round: None,
            memory_limit: None,
        })
    }
}

/// Node programs in topological order, and what they were made from.
#[pyclass(frozen, weakref, module = "nexus_core")]
pub(crate) struct WorkflowPlan {
    pub(super) plan: Arc<Plan>,
}

type ClassAndMethods<'py> = (Bound<'py, PyType>, Vec<Bound<'py, PyString>>);

#[pymethods]
impl WorkflowPlan {
    /// `nodes`: one description a node, in topological order; `dicts`: pairs of
    /// a dict and the keys to watch in it (`None` for all), asked for when all
    /// nodes are known; `classes`: pairs of a class and the names of methods to
    /// watch; `sets`: sets with names and whether those are in them, and all that they have
    /// if it matters, asked for like `dicts`; `memory_limit`: called then, for the variables of
    /// `kailash.security` and the limit in bytes, or `None`; `has_cycles`:
    /// there is no topological order, and nodes run in stages only.
    #[new]
    #[pyo3(signature = (nodes, dicts, classes, sets, memory_limit, has_cycles=false))]
    fn new(
        nodes: &Bound<'_, PyAny>,
        dicts: &Bound<'_, PyAny>,
        classes: Vec<ClassAndMethods<'_>>,
        sets: &Bound<'_, PyAny>,
        memory_limit: &Bound<'_, PyAny>,
        has_cycles: bool,
    ) -> PyResult<Self> {
        let py = nodes.py();
        let mut shared = Shared::default();
        let mut key_lists = KeyLists::new();
        let mut name_lists = NameLists::new();
        let nodes: Vec<Node> = letting_others_in(py, nodes, |spec| {
            Node::from_spec(spec.cast::<PyDict>()?, &mut shared)
        })?;
        let in_order = nodes.iter().enumerate().all(|(target, node)| {
            let mut sources = node.edges.iter().map(|edge| edge.source as usize);
            sources.all(|source| source < target)
        });
        let whole = if has_cycles {
            None
        } else if in_order {
            // Edges are looked at only, without the interpreter.
            Some(Arc::new(py.detach(|| Stage::whole(&nodes)).map_err(
                |error| {
                    let names: Vec<_> = nodes.iter().map(|node| node.id.clone_ref(py)).collect();
                    graph_error(py, &error, &names)
                },
            )?))
        } else {
            return Err(PyValueError::new_err("nodes are not in topological order"));
        };
        let ids = PyDict::new(py);
        for (index, node) in nodes.iter().enumerate() {
            ids.set_item(&node.id, index)?;
        }
        Ok(Self {
            plan: Arc::new(Plan {
                ids: ids.unbind(),
                brevity: Brevity::new(),
                memory_limit: match memory_limit.call0()?.extract()? {
                    None => None,
                    Some((variables, bytes)) => Some((Arc::new(Book::new(variables)?), bytes)),
                },
                whole,
                nodes,
                shape: OnceLock::new(),
                figures: PlanFigures::default(),
                runs: AtomicU64::new(0),
                dicts: letting_others_in(py, dicts, |pair| {
                    let (dict, keys): (Bound<'_, PyDict>, Option<Bound<'_, PyList>>) =
                        pair.extract()?;
                    WatchedDict::new(&dict, keys.as_ref(), &mut key_lists)
                })?,
                classes: classes
                    .into_iter()
                    .map(|(class, names)| WatchedClass::new(&class, &names))
                    .collect::<PyResult<_>>()?,
                sets: letting_others_in(py, sets, |set| {
                    WatchedSet::new(set.extract()?, &mut name_lists)
                })?,
            }),
        })
    }

    /// Whether everything that the plan was made from is still as it was.
    pub(super) fn is_current(&self, py: Python<'_>) -> PyResult<bool> {
        for class in &self.plan.classes {
            if !class.is_unchanged(py)? {
                return Ok(false);
            }
        }
        for dict in &self.plan.dicts {
            if !dict.is_unchanged(py)? {
                return Ok(false);
            }
        }
        for set in &self.plan.sets {
            if !set.is_unchanged(py)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Prepares a run. `service`, for a run that
    /// nobody's thread waits for: the runtime's places, and whether nodes share
    /// context variables. `caching`: which nodes are cached, if any are. `figures`: what
    /// counts the run, if anything does.
    #[allow(clippy::too_many_arguments)] // one call from Python
    #[pyo3(signature = (host, options, parameters, workflow_context, service=None, caching=None, figures=None, remote=None))]
    fn start(
        &self,
        py: Python<'_>,
        host: Py<PyAny>,
        options: &Bound<'_, RunOptions>,
        parameters: Option<Py<PyDict>>,
        workflow_context: Py<PyDict>,
        service: Option<Service<'_>>,
        caching: Option<Py<NodeCaching>>,
        figures: Option<Bound<'_, Figures>>,
        remote: Option<Py<RemoteNodes>>,
    ) -> PyResult<WorkflowRun> {
        let part = self.plan.whole_run()?;
        let given = Given {
            host: host.into(),
            options: *options.get(),
            parameters,
            workflow_context,
            service,
            caching,
            figures,
            remote,
        };
        WorkflowRun::new(py, Arc::clone(&self.plan), part, given)
    }

    /// Some nodes, by their numbers, in the order that a sequential run has.
    fn stage(&self, members: Vec<u32>) -> PyResult<PlanStage> {
        let stage = Stage::of(&self.plan.nodes, members)?;
        Ok(PlanStage(Arc::new(stage)))
    }

    /// Prepares a run of a stage's nodes alone. `prior`: outputs by node id of
    /// nodes that ran before; those of members are looked for nowhere else.
    #[allow(clippy::too_many_arguments)] // one call from Python
    #[pyo3(signature = (stage, prior, host, options, parameters, workflow_context, memory_limit=None, service=None, caching=None, figures=None, remote=None))]
    fn start_stage(
        &self,
        py: Python<'_>,
        stage: &Bound<'_, PlanStage>,
        prior: Py<PyDict>,
        host: Py<PyAny>,
        options: &Bound<'_, RunOptions>,
        parameters: Option<Py<PyDict>>,
        workflow_context: Py<PyDict>,
        memory_limit: Option<Py<MemoryLimit>>,
        service: Option<Service<'_>>,
        caching: Option<Py<NodeCaching>>,
        figures: Option<Bound<'_, Figures>>,
        remote: Option<Py<RemoteNodes>>,
    ) -> PyResult<WorkflowRun> {
        let part = Part {
            stage: Arc::clone(&stage.get().0),
            prior: Some(prior),
            round: None,
            memory_limit,
        };
        let given = Given {
            host: host.into(),
            options: *options.get(),
            parameters,
            workflow_context,
            service,
            caching,
            figures,
            remote,
        };
        WorkflowRun::new(py, Arc::clone(&self.plan), part, given)
    }

    /// Prepares one round of a stage of a workflow with cycles: an iteration of
    /// a cycle, or nodes outside of cycles.
    #[allow(clippy::too_many_arguments)] // one call from Python
    #[pyo3(signature = (stage, round, host, options, parameters, memory_limit=None, figures=None, remote=None))]
    fn start_round(
        &self,
        py: Python<'_>,
        stage: &Bound<'_, PlanStage>,
        round: Py<Round>,
        host: Py<PyAny>,
        options: &Bound<'_, RunOptions>,
        parameters: Option<Py<PyDict>>,
        memory_limit: Option<Py<MemoryLimit>>,
        figures: Option<Bound<'_, Figures>>,
        remote: Option<Py<RemoteNodes>>,
    ) -> PyResult<WorkflowRun> {
        let part = Part {
            stage: Arc::clone(&stage.get().0),
            prior: None,
            round: Some(round),
            memory_limit,
        };
        let given = Given {
            host: host.into(),
            options: *options.get(),
            parameters,
            workflow_context: PyDict::new(py).unbind(),
            service: None,
            // What its nodes are given tells the rounds apart.
            caching: None,
            figures,
            remote,
        };
        WorkflowRun::new(py, Arc::clone(&self.plan), part, given)
    }

    /// What a run's code nodes are under, for the stages of one run to share:
    /// `together` of them can run at the same time. `None` without code nodes.
    fn memory_limit(&self, py: Python<'_>, together: usize) -> PyResult<Option<Py<MemoryLimit>>> {
        let Some((book, bytes)) = &self.plan.memory_limit else {
            return Ok(None);
        };
        let limit = MemoryLimit::new(Arc::clone(book), *bytes, together, false);
        Py::new(py, limit).map(Some)
    }

    /// Whether a run can be expected to be shorter than a hand-over to a thread.
    pub(super) fn is_short(&self) -> bool {
        self.plan.brevity.is_habit()
    }

    /// Whether a run has blocked, so that none is ever taken for short again.
    fn has_blocked(&self) -> bool {
        self.plan.brevity.is_ruled_out()
    }

    #[getter]
    fn runs(&self) -> u64 {
        self.plan.runs.load(Ordering::Relaxed)
    }

    fn durations<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let known = PyDict::new(py);
        let Some(whole) = &self.plan.whole else {
            return Ok(known);
        };
        for (index, node) in self.plan.nodes.iter().enumerate() {
            if let Some(seconds) = whole.durations.get(index as u32) {
                known.set_item(&node.id, f64::from(seconds))?;
            }
        }
        Ok(known)
    }

    fn __len__(&self) -> usize {
        self.plan.nodes.len()
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        // Runs in flight share the plan and are not visible to the collector.
        if Arc::strong_count(&self.plan) > 1 {
            return Ok(());
        }
        if let Some((book, _)) = &self.plan.memory_limit
            && Arc::strong_count(book) == 1
        {
            book.traverse(&visit)?;
        }
        self.plan
            .nodes
            .iter()
            .try_for_each(|node| node.traverse(&visit))?;
        self.plan
            .dicts
            .iter()
            .try_for_each(|dict| dict.traverse(&visit))?;
        self.plan
            .classes
            .iter()
            .try_for_each(|class| class.traverse(&visit))?;
        self.plan
            .sets
            .iter()
            .try_for_each(|set| set.traverse(&visit))
    }
}

impl Plan {
    /// The nodes and edges, as traces and figures show them.
    pub(super) fn shape(&self, py: Python<'_>) -> Arc<Shape> {
        if let Some(shape) = self.shape.get() {
            return Arc::clone(shape);
        }
        let nodes = &self.nodes;
        let edges = (0..).zip(nodes).flat_map(|(target, node)| {
            let forward = node.edges.iter().filter(|edge| !edge.is_feedback);
            forward.map(move |edge| (edge.source, target))
        });
        let text = |text: &Py<PyString>| text.bind(py).to_string_lossy().into_owned();
        let named = nodes
            .iter()
            .map(|node| (text(&node.id), text(&node.class_name)));
        let shape = Arc::new(Shape {
            nodes: named.collect(),
            edges: edges.collect(),
        });
        // Not made inside: others would wait for it with the interpreter, which text that
        // is no valid Unicode may let go of.
        Arc::clone(self.shape.get_or_init(|| shape))
    }
}

impl WorkflowPlan {
    pub(crate) fn shape(&self, py: Python<'_>) -> Arc<Shape> {
        self.plan.shape(py)
    }

    /// Runs everything on the calling thread, an event loop's, as `start` and
    /// `run_inline` would. `make_host` is called with `host` and the run, if something
    /// is to be asked of a host at all. Returns how long it took since it `began`, too.
    #[allow(clippy::too_many_arguments)] // called in one place
    pub(super) fn run_short<'py>(
        &self,
        py: Python<'py>,
        make_host: Py<PyAny>,
        host: [Py<PyAny>; 4],
        variables: &Bound<'py, PyDict>,
        options: RunOptions,
        places: Bound<'py, Places>,
        figures: Option<Bound<'py, Figures>>,
        began: Instant,
    ) -> (PyResult<Short<'py>>, Duration) {
        let prepared = self.plan.whole_run().and_then(|part| {
            let given = Given {
                host: Host::later(make_host, host),
                options,
                parameters: (!variables.is_empty()).then(|| variables.clone().unbind()),
                workflow_context: PyDict::new(py).unbind(),
                service: Some((places, true)),
                caching: None,
                figures,
                remote: None,
            };
            prepare(py, Arc::clone(&self.plan), part, given)
        });
        let execution = match prepared {
            Ok(execution) => execution,
            Err(error) => return (Err(error), began.elapsed()),
        };
        let outcome = run_short(py, &execution);
        let elapsed = began.elapsed();
        if !matches!(outcome, Ok(Short::Left(_)))
            && let Some(figures) = execution.program.figures()
        {
            ended(
                py,
                figures,
                elapsed.as_nanos() as u64,
                outcome.as_ref().err(),
            );
        }
        (outcome, elapsed)
    }
}

/// Maps what there may be tens of thousands of, without keeping the interpreter
/// from other threads meanwhile: one of them may be an event loop's.
fn letting_others_in<'py, R>(
    py: Python<'py>,
    items: &Bound<'py, PyAny>,
    mut read: impl FnMut(Bound<'py, PyAny>) -> PyResult<R>,
) -> PyResult<Vec<R>> {
    const TURN: Duration = Duration::from_millis(1);
    // Who only lets go has it back before anybody else has woken up.
    const PAUSE: Duration = Duration::from_micros(20);
    let mut found = Vec::new();
    let mut began = Instant::now();
    for item in items.try_iter()? {
        found.push(read(item?)?);
        if began.elapsed() >= TURN {
            py.detach(|| std::thread::sleep(PAUSE));
            began = Instant::now();
        }
    }
    Ok(found)
}
