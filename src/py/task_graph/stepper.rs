//! Driving a graph from outside, one ready node at a time.

use std::collections::HashSet;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::core::locks::Mutex;
use crate::core::schedule::{StepError, Stepper};
use crate::py::errors::step_error;

use super::plan::Plan;

/// Hands out ready nodes in the manner of `graphlib.TopologicalSorter`.
///
/// It calls nothing itself: an event loop or another engine runs the nodes.
/// `CompiledGraph.stepper()` makes it; it may be used from several threads, and is
/// true while nodes remain.
///
/// Example:
///     >>> from nexus_core import TaskGraph
///     >>> graph = TaskGraph()
///     >>> load = graph.add("load", str)
///     >>> _ = graph.add("left", str, load)
///     >>> _ = graph.add("right", str, load)
///     >>> stepper = graph.compile().stepper()
///     >>> while stepper.is_active():
///     ...     ready = stepper.get_ready()
///     ...     print(ready)
///     ...     stepper.done(*ready)
///     ('load',)
///     ('left', 'right')
#[pyclass(frozen, module = "nexus_core")]
pub(crate) struct GraphStepper {
    plan: Py<Plan>,
    stepper: Mutex<Stepper>,
}

impl GraphStepper {
    pub(super) fn new(plan: Py<Plan>) -> Self {
        let stepper = Mutex::new(Stepper::new(Arc::clone(&plan.get().dag)));
        Self { plan, stepper }
    }
}

#[pymethods]
impl GraphStepper {
    /// Takes the nodes that have become ready since the last call.
    ///
    /// Returns:
    ///     Their names in topological order; empty while all wait for nodes that are
    ///     not done.
    ///
    /// Example:
    ///     >>> from nexus_core import TaskGraph
    ///     >>> graph = TaskGraph()
    ///     >>> _ = graph.add("second", str, graph.add("first", str))
    ///     >>> stepper = graph.compile().stepper()
    ///     >>> stepper.get_ready(), stepper.get_ready()
    ///     (('first',), ())
    fn get_ready<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let ready = self.stepper.lock().get_ready();
        PyTuple::new(py, ready.iter().map(|&node| self.plan.get().name(py, node)))
    }

    /// Marks nodes as done, which makes others ready.
    ///
    /// Args:
    ///     nodes: Names that `get_ready()` has handed out.
    ///
    /// Raises:
    ///     nexus_core.errors.StepError: If one was not handed out, or is done already.
    ///         None of them is marked then.
    ///     nexus_core.errors.UnknownNode: If there is no such node.
    ///
    /// Example:
    ///     >>> from nexus_core import TaskGraph
    ///     >>> graph = TaskGraph()
    ///     >>> _ = graph.add("second", str, graph.add("first", str))
    ///     >>> stepper = graph.compile().stepper()
    ///     >>> stepper.done(*stepper.get_ready())
    ///     >>> stepper.get_ready()
    ///     ('second',)
    #[pyo3(signature = (*nodes))]
    fn done(&self, py: Python<'_>, nodes: &Bound<'_, PyTuple>) -> PyResult<()> {
        let numbers: Vec<u32> = nodes
            .iter()
            .map(|name| self.plan.get().number(&name))
            .collect::<PyResult<_>>()?;
        let mut named = HashSet::with_capacity(numbers.len());
        // Check all before changing anything.
        let outcome = {
            let mut stepper = self.stepper.lock();
            let refused = numbers.iter().find_map(|&node| {
                let error = if named.insert(node) {
                    stepper.check(node).err()
                } else {
                    Some(StepError::AlreadyDone)
                };
                error.map(|error| (node, error))
            });
            match refused {
                Some(refused) => Err(refused),
                None => numbers
                    .iter()
                    .try_for_each(|&node| stepper.done(node).map_err(|error| (node, error))),
            }
        };
        outcome
            .map_err(|(node, error)| step_error(py, error, &self.plan.get().names[node as usize]))
    }

    /// Whether some node is not done yet.
    ///
    /// Returns:
    ///     `False` once every node has been marked as done.
    ///
    /// Example:
    ///     >>> from nexus_core import TaskGraph
    ///     >>> graph = TaskGraph()
    ///     >>> _ = graph.add("second", str, graph.add("first", str))
    ///     >>> stepper = graph.compile().stepper()
    ///     >>> stepper.is_active()
    ///     True
    fn is_active(&self) -> bool {
        self.stepper.lock().is_active()
    }

    fn __bool__(&self) -> bool {
        self.is_active()
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.plan)
    }
}
