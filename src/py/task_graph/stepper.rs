//! Driving a graph from outside, one ready node at a time.

use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::core::schedule::Stepper;
use crate::py::errors::step_error;

use super::compiled::Plan;

/// Hands out ready nodes in the manner of `graphlib.TopologicalSorter`.
#[pyclass(frozen, module = "nexus_core")]
pub(crate) struct GraphStepper {
    plan: Arc<Plan>,
    stepper: Mutex<Stepper>,
}

impl GraphStepper {
    pub(super) fn new(plan: Arc<Plan>) -> Self {
        let stepper = Mutex::new(Stepper::new(Arc::clone(&plan.dag)));
        Self { plan, stepper }
    }
}

#[pymethods]
impl GraphStepper {
    fn get_ready<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let ready = self.stepper.lock().get_ready();
        PyTuple::new(py, ready.iter().map(|&node| self.plan.name(py, node)))
    }

    #[pyo3(signature = (*nodes))]
    fn done(&self, py: Python<'_>, nodes: &Bound<'_, PyTuple>) -> PyResult<()> {
        let numbers: Vec<u32> = nodes
            .iter()
            .map(|name| self.plan.number(&name))
            .collect::<PyResult<_>>()?;
        // Check all before changing anything.
        let outcome = {
            let mut stepper = self.stepper.lock();
            let refused = numbers.iter().enumerate().find_map(|(place, &node)| {
                if numbers[..place].contains(&node) {
                    return Some((node, crate::core::schedule::StepError::AlreadyDone));
                }
                stepper.check(node).err().map(|error| (node, error))
            });
            match refused {
                Some(refused) => Err(refused),
                None => numbers
                    .iter()
                    .try_for_each(|&node| stepper.done(node).map_err(|error| (node, error))),
            }
        };
        outcome.map_err(|(node, error)| step_error(py, error, &self.plan.names[node as usize]))
    }

    fn is_active(&self) -> bool {
        self.stepper.lock().is_active()
    }

    fn __bool__(&self) -> bool {
        self.is_active()
    }
}
