//! A workflow as it was when it was last compiled.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyType};

use crate::core::graph::TaskDag;
use crate::core::locks::Mutex;
use crate::core::schedule::{Brevity, LearnedDurations};
use crate::py::errors::graph_error;

use super::memory_limit::Book;
use super::node::{Body, Node};
use super::options::RunOptions;
use super::run::{Service, WorkflowRun};
use super::spare::BuiltinsByTemplate;
use super::watch::{WatchedClass, WatchedDict};

pub(super) struct Plan {
    pub(super) dag: Arc<TaskDag>,
    /// In topological order.
    pub(super) nodes: Vec<Node>,
    pub(super) durations: Arc<LearnedDurations>,
    pub(super) pinned: Arc<[bool]>,
    /// Every node's id.
    pub(super) ids: Py<PyDict>,
    /// Whether runs are short enough for an event loop's own thread.
    pub(super) brevity: Brevity,
    /// Where stock keeps book of memory limits, and the limit of code nodes in
    /// bytes; `None` without such nodes.
    pub(super) memory_limit: Option<(Arc<Book>, u64)>,
    /// Runs made with this plan.
    pub(super) runs: AtomicU64,
    dicts: Vec<WatchedDict>,
    classes: Vec<WatchedClass>,
}

/// Node programs in topological order, and what they were made from.
#[pyclass(frozen, weakref, module = "nexus_core")]
pub(crate) struct WorkflowPlan {
    pub(super) plan: Arc<Plan>,
}

type DictAndKeys<'py> = (Bound<'py, PyDict>, Option<Vec<Bound<'py, PyAny>>>);
type ClassAndMethods<'py> = (Bound<'py, PyType>, Vec<Bound<'py, PyString>>);

#[pymethods]
impl WorkflowPlan {
    /// `nodes`: one description a node, in topological order; `dicts`: pairs of
    /// a dict and the keys to watch in it (`None` for all); `classes`: pairs of
    /// a class and the names of methods to watch; `memory_limit`: the
    /// variables of `kailash.security`, and the limit in bytes.
    #[new]
    fn new(
        nodes: &Bound<'_, PyList>,
        dicts: Vec<DictAndKeys<'_>>,
        classes: Vec<ClassAndMethods<'_>>,
        memory_limit: Option<(Bound<'_, PyDict>, u64)>,
    ) -> PyResult<Self> {
        let py = nodes.py();
        let mut known = BuiltinsByTemplate::new();
        let nodes: Vec<Node> = nodes
            .iter()
            .map(|spec| Node::from_spec(spec.cast::<PyDict>()?, &mut known))
            .collect::<PyResult<_>>()?;
        let mut edges = Vec::new();
        for (target, node) in nodes.iter().enumerate() {
            for edge in &node.edges {
                if edge.source as usize >= target {
                    return Err(PyValueError::new_err("nodes are not in topological order"));
                }
                edges.push((edge.source, target as u32));
            }
        }
        let dag = TaskDag::from_edges(nodes.len(), &edges).map_err(|error| {
            let names: Vec<_> = nodes.iter().map(|node| node.id.clone_ref(py)).collect();
            graph_error(py, &error, &names)
        })?;
        let pinned: Arc<[bool]> = if nodes.iter().any(|n| matches!(n.body, Body::Async)) {
            nodes
                .iter()
                .map(|n| matches!(n.body, Body::Async))
                .collect()
        } else {
            Arc::from([])
        };
        let ids = PyDict::new(py);
        for (index, node) in nodes.iter().enumerate() {
            ids.set_item(&node.id, index)?;
        }
        Ok(Self {
            plan: Arc::new(Plan {
                ids: ids.unbind(),
                brevity: Brevity::new(),
                memory_limit: match memory_limit {
                    None => None,
                    Some((variables, bytes)) => Some((Arc::new(Book::new(variables)?), bytes)),
                },
                durations: Arc::new(LearnedDurations::new(nodes.len())),
                dag: Arc::new(dag),
                nodes,
                pinned,
                runs: AtomicU64::new(0),
                dicts: dicts
                    .into_iter()
                    .map(|(dict, keys)| WatchedDict::new(&dict, keys.as_deref()))
                    .collect::<PyResult<_>>()?,
                classes: classes
                    .into_iter()
                    .map(|(class, names)| WatchedClass::new(&class, &names))
                    .collect::<PyResult<_>>()?,
            }),
        })
    }

    /// Whether everything that the plan was made from is still as it was.
    fn is_current(&self, py: Python<'_>) -> PyResult<bool> {
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
        Ok(true)
    }

    /// Prepares a run. `service`, for a run that
    /// nobody's thread waits for: the runtime's places, and whether nodes share
    /// context variables.
    #[allow(clippy::too_many_arguments)] // one call from Python
    #[pyo3(signature = (host, options, parameters, workflow_context, service=None))]
    fn start(
        &self,
        py: Python<'_>,
        host: Py<PyAny>,
        options: &Bound<'_, RunOptions>,
        parameters: Option<Py<PyDict>>,
        workflow_context: Py<PyDict>,
        service: Option<Service<'_>>,
    ) -> PyResult<WorkflowRun> {
        self.plan.runs.fetch_add(1, Ordering::Relaxed);
        WorkflowRun::new(
            py,
            Arc::clone(&self.plan),
            host,
            *options.get(),
            parameters,
            workflow_context,
            service,
        )
    }

    /// Whether a run can be expected to be shorter than a hand-over to a thread.
    fn is_short(&self) -> bool {
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
        for (index, node) in self.plan.nodes.iter().enumerate() {
            if let Some(seconds) = self.plan.durations.get(index as u32) {
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
            .try_for_each(|class| class.traverse(&visit))
    }
}

/// Rows that the run fills and Python hands to the history writer.
pub(super) type SharedRows = Arc<Mutex<super::history::RunRows>>;
