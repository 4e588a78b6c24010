//! What the end of a run leaves to do, in one call.

use pyo3::prelude::*;

use crate::py::tracing::nanos;

use super::figures::{Figures, ended};
use super::plan::WorkflowPlan;
use super::quiet::{Listeners, Quiet};

/// Counts runs that have ended, and sees whether anybody else is to learn of them.
#[pyclass(frozen, name = "_RunEnds", module = "nexus_core")]
pub(crate) struct RunEnds(Quiet);

#[pymethods]
impl RunEnds {
    #[new]
    fn new(listeners: Listeners) -> Self {
        Self(Quiet::new(listeners))
    }

    /// A native run has ended after so many seconds, with what it raised, if anything.
    /// `figures`: what counts it. Returns whether what Kailash does at the end of every
    /// run reaches anybody.
    fn ended(
        &self,
        py: Python<'_>,
        figures: Option<&Bound<'_, Figures>>,
        plan: &Bound<'_, WorkflowPlan>,
        workflow: &Bound<'_, PyAny>,
        seconds: f64,
        error: Option<Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        if let Some(figures) = figures {
            let figures = plan.get().plan.figures(&figures.get().0, workflow);
            let error = error.map(PyErr::from_value);
            ended(py, &figures, nanos(seconds), error.as_ref());
        }
        Ok(self.0.heard(py)?.end)
    }
}
