//! Which nodes of a plan are cached, and where.

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use crate::py::cache::Load;
use crate::py::engine::Ask;
use crate::py::errors::exception;
use crate::py::keys::{digest_in_order, shared_places};

use super::node_flights::NodeFlights;
use super::outputs::reports_failure;
use super::variables::variable_value;

/// What Python keeps nodes' outputs with.
#[derive(FromPyObject)]
pub(super) struct Keeper {
    /// `get(key)` for what is kept, or `None`; `get_local(key)` where it is not near.
    store: Py<PyAny>,
    /// Whether the store answers at once.
    is_near: bool,
    /// Whether nodes run although their outputs may be there.
    pub(super) refreshes: bool,
    pub(super) flights: Py<NodeFlights>,
    /// A context variable that is true inside of whatever is computed to be kept: runs
    /// there wait for no others.
    pub(super) computing: Py<PyAny>,
    /// One that is true inside of cached nodes.
    pub(super) inside: Py<PyAny>,
    /// The event loop that runs on the calling thread, or `None`.
    running_loop: Py<PyAny>,
    /// Says what a value is made of whose type is not known natively.
    reduce: Py<PyAny>,
    /// Refuses inputs in which an object is in two places; returns an empty list.
    apart: Py<PyAny>,
    /// `count(status, reason=None)`
    count: Py<PyAny>,
    /// The reason, given the error of a key that cannot be made.
    reason: Py<PyAny>,
    /// The digest of what decides a node's output beside its inputs, by its index.
    describe: Py<PyAny>,
    /// `vary(index, inputs)`, for nodes whose policy has such a function.
    vary: Py<PyAny>,
    /// `begin(index, key)`: a seat at the key in the store, before a node runs.
    begin: Py<PyAny>,
    /// `keep(index, key, inputs, output, seconds, why_not, seat)`: what is handed out to
    /// others, or `None`.
    keep: Py<PyAny>,
    /// Exceptions that concern the caller alone whose node they have ended.
    own_ends: Py<PyAny>,
}

impl Keeper {
    fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.store)?;
        visit.call(&self.flights)?;
        let methods = [
            &self.count,
            &self.reason,
            &self.describe,
            &self.vary,
            &self.begin,
            &self.keep,
        ];
        for held in methods {
            visit.call(held)?;
        }
        // The rest are modules' own.
        Ok(())
    }
}

/// A cached node, as Python describes it.
#[derive(FromPyObject)]
struct CachedNode {
    /// What decides its output beside its inputs, if that is the same as long as the plan.
    #[pyo3(item)]
    digest: Option<Py<PyBytes>>,
    #[pyo3(item)]
    varies: bool,
    /// Why it is not cached after all.
    #[pyo3(item)]
    refusal: Option<String>,
}

/// The cached nodes of one plan in one cache.
#[pyclass(frozen, weakref, module = "nexus_core._core", name = "_NodeCaching")]
pub(crate) struct NodeCaching {
    pub(super) keeper: Keeper,
    nodes: Box<[Option<CachedNode>]>,
}

/// What a look at the store has found.
pub(super) enum Found<'py> {
    /// A copy for the caller.
    Output(Bound<'py, PyAny>),
    Nothing,
}

#[pymethods]
impl NodeCaching {
    /// `nodes`: for each node of the plan what is known of it, `None` for one that is not
    /// cached.
    #[new]
    fn new(keeper: Keeper, nodes: Vec<Option<CachedNode>>) -> Self {
        Self {
            keeper,
            nodes: nodes.into(),
        }
    }

    /// Whether a node is cached, or is meant to be.
    pub(super) fn caches(&self, index: u32) -> bool {
        self.nodes.get(index as usize).is_some_and(Option::is_some)
    }

    /// The key of a node with its inputs and what else its output depends on. `None` if it
    /// has none, which is counted.
    #[pyo3(signature = (index, inputs, also=None))]
    pub(super) fn key<'py>(
        &self,
        py: Python<'py>,
        index: u32,
        inputs: &Bound<'py, PyDict>,
        also: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let Some(Some(node)) = self.nodes.get(index as usize) else {
            return Ok(None);
        };
        if let Some(refusal) = &node.refusal {
            self.count(py, "bypass", Some(refusal))?;
            return Ok(None);
        }
        match self.digest(py, index, node, inputs, also) {
            Ok(key) => Ok(Some(key)),
            Err(error) if error.is_instance_of::<PyException>(py) => {
                let reason = self.keeper.reason.bind(py);
                let reason = reason.invoke((index, exception(py, &error)))?;
                self.count(py, "bypass", Some(reason.extract()?))?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a node with its inputs still has the same key; if not, it has changed them, or
    /// itself.
    #[pyo3(signature = (index, inputs, key, also=None))]
    pub(super) fn is_unchanged<'py>(
        &self,
        py: Python<'py>,
        index: u32,
        inputs: &Bound<'py, PyDict>,
        key: &Bound<'py, PyBytes>,
        also: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<bool> {
        let Some(Some(node)) = self.nodes.get(index as usize) else {
            return Ok(false);
        };
        match self.digest(py, index, node, inputs, also) {
            Ok(now) => Ok(now.as_bytes() == key.as_bytes()),
            Err(error) if error.is_instance_of::<PyException>(py) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether an output says that its node failed.
    #[staticmethod]
    fn reports_failure(output: &Bound<'_, PyAny>) -> PyResult<bool> {
        reports_failure(output)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        self.keeper.traverse(&visit)
    }
}

impl NodeCaching {
    fn digest<'py>(
        &self,
        py: Python<'py>,
        index: u32,
        node: &CachedNode,
        inputs: &Bound<'py, PyDict>,
        also: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let keeper = &self.keeper;
        let own = match &node.digest {
            Some(digest) => digest.bind(py).clone().into_any(),
            None => keeper.describe.bind(py).invoke((index,))?,
        };
        let varied = if node.varies {
            keeper.vary.bind(py).invoke((index, inputs))?
        } else {
            py.None().into_bound(py)
        };
        let shared = match shared_places(inputs)? {
            Some(shared) => shared,
            // Objects that are in two places cannot be told apart from two that are equal.
            None => keeper.apart.bind(py).invoke((inputs,))?.extract()?,
        };
        let parts = (intern!(py, "node"), own, inputs, shared, varied, also);
        let parts = parts.into_pyobject(py)?.into_any();
        digest_in_order(&parts, "node", keeper.reduce.bind(py))
    }

    pub(super) fn count(
        &self,
        py: Python<'_>,
        status: &'static str,
        reason: Option<&str>,
    ) -> PyResult<()> {
        let count = self.keeper.count.bind(py);
        count.invoke((status, reason)).map(|_| ())
    }

    /// Looks for what is kept under a key; `at_once`: without waiting for what lies further
    /// off than this process.
    pub(super) fn find<'py>(
        &self,
        key: &Bound<'py, PyBytes>,
        at_once: bool,
    ) -> PyResult<Found<'py>> {
        let py = key.py();
        let store = self.keeper.store.bind(py);
        let method = if at_once && !self.keeper.is_near {
            intern!(py, "get_local")
        } else {
            intern!(py, "get")
        };
        let kept = store.ask(method, (key,))?;
        if kept.is_none() {
            return Ok(Found::Nothing);
        }
        Self::copy(&kept)
    }

    /// A copy of what is kept, for one caller; nothing if none can be made any more.
    pub(super) fn copy<'py>(kept: &Bound<'py, PyAny>) -> PyResult<Found<'py>> {
        let py = kept.py();
        let snapshot = kept.getattr(intern!(py, "snapshot"))?;
        match snapshot.ask(intern!(py, "hand_out"), ()) {
            Ok(output) => Ok(Found::Output(output)),
            Err(error) if error.is_instance_of::<PyException>(py) => Ok(Found::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Keeps what a node has returned, given its key, its inputs and how long it ran; returns what others are handed copies of, or `None`.
    pub(super) fn keep(
        &self,
        py: Python<'_>,
        index: u32,
        (key, inputs, seconds): (&Bound<'_, PyBytes>, &Bound<'_, PyDict>, f64),
        output: &Bound<'_, PyAny>,
        why_not: Option<&str>,
        seat: &Py<Load>,
    ) -> PyResult<Py<PyAny>> {
        let keep = self.keeper.keep.bind(py);
        keep.invoke((index, key, inputs, output, seconds, why_not, seat))
            .map(Bound::unbind)
    }

    /// A seat at a key in the store, which is told when that is written or removed while the
    /// node runs: what it returns is out of date then.
    pub(super) fn begin(
        &self,
        py: Python<'_>,
        index: u32,
        key: &Bound<'_, PyBytes>,
    ) -> PyResult<Py<Load>> {
        let begin = self.keeper.begin.bind(py);
        Ok(begin.invoke((index, key))?.extract()?)
    }

    /// Whether what ended a node concerns its caller alone; Kailash's nodes raise it as the
    /// cause of an error of their own.
    pub(super) fn is_own_end(&self, py: Python<'_>, error: &PyErr) -> PyResult<bool> {
        let own_ends = self.keeper.own_ends.bind(py);
        if error.matches(py, own_ends)? {
            return Ok(true);
        }
        let cause = error.cause(py);
        cause.map_or(Ok(false), |cause| Ok(cause.matches(py, own_ends)?))
    }

    /// Whether the calling context is inside of a cached node.
    pub(super) fn is_inside(&self, py: Python<'_>) -> PyResult<bool> {
        let inside = variable_value(self.keeper.inside.bind(py))?;
        inside.map_or(Ok(false), |value| value.is_truthy())
    }

    /// Whether an event loop runs on the calling thread.
    pub(super) fn is_on_loop(&self, py: Python<'_>) -> PyResult<bool> {
        let running = self.keeper.running_loop.bind(py);
        Ok(!running.invoke(PyTuple::empty(py))?.is_none())
    }
}
