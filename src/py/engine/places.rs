//! The places that runs of one runtime share, as Python holds them.

use std::sync::Arc;

use pyo3::prelude::*;

use crate::core::schedule::Admission;

use super::workers::prepare_served;

/// Bounds the nodes that run at once in all runs of a runtime.
#[pyclass(frozen, module = "nexus_core")]
pub(crate) struct Places {
    pub(crate) admission: Arc<Admission>,
}

#[pymethods]
impl Places {
    /// `places` nodes at once, `threads` of them on worker threads.
    #[new]
    fn new(places: usize, threads: usize) -> Self {
        Self {
            admission: Arc::new(Admission::new(places, threads)),
        }
    }

    #[getter]
    fn places(&self) -> usize {
        self.admission.places()
    }

    #[getter]
    fn threads(&self) -> usize {
        self.admission.threads()
    }

    /// Changes the bounds while runs go on. Nodes that run keep their places; those
    /// that wait get one as soon as there is room.
    fn resize(&self, py: Python<'_>, places: usize, threads: usize) {
        prepare_served(threads);
        // Whoever is let in may be told with the interpreter.
        py.detach(|| self.admission.resize(places, threads));
    }

    /// Starts the threads that runs may need: a node's memory limit could keep
    /// a thread from starting later.
    fn prepare(&self) {
        prepare_served(self.admission.threads());
    }

    /// The most nodes that ran at once since the bounds are as they are.
    fn most_taken(&self) -> usize {
        self.admission.most_taken()
    }

    /// Seconds that worker threads have spent in places, all together.
    fn thread_seconds(&self) -> f64 {
        self.admission.thread_time().as_secs_f64()
    }

    /// Nodes that run on worker threads now.
    fn threads_taken(&self) -> usize {
        self.admission.threads_taken()
    }

    /// Nodes that run now, and runs that stand in line for a place.
    fn occupancy(&self) -> (usize, usize) {
        self.admission.occupancy()
    }
}
