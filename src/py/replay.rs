//! A replayed line of runs, as Python holds it.

use pyo3::prelude::*;

use crate::core::locks::Mutex;
use crate::core::replay::{Line, Tally};

/// What Python is told of a stretch: runs that ended, their response times
/// together, those that took too long, and for how long workers were busy.
type Told = (u64, f64, u64, f64);

/// Runs in one line, and the workers that take them.
#[pyclass(frozen, name = "_ReplayedLine", module = "nexus_core")]
pub(crate) struct ReplayedLine {
    line: Mutex<Line>,
}

#[pymethods]
impl ReplayedLine {
    #[new]
    fn new(
        workers: usize,
        service_seconds: f64,
        variability: f64,
        allowed_seconds: f64,
        seed: u64,
    ) -> Self {
        Self {
            line: Mutex::new(Line::new(
                workers,
                service_seconds,
                variability,
                allowed_seconds,
                seed,
            )),
        }
    }

    fn resize(&self, workers: usize, now: f64) {
        self.line.lock().resize(workers, now);
    }

    fn advance(&self, py: Python<'_>, start: f64, end: f64, runs: u64) -> Told {
        // It may be a million of them.
        told(py.detach(|| self.line.lock().advance(start, end, runs)))
    }

    fn finish(&self, py: Python<'_>, now: f64) -> Told {
        told(py.detach(|| self.line.lock().finish(now)))
    }

    fn waiting(&self) -> usize {
        self.line.lock().waiting()
    }

    fn quantile(&self, py: Python<'_>, share: f64) -> f64 {
        py.detach(|| self.line.lock().quantile(share))
    }
}

fn told(tally: Tally) -> Told {
    (
        tally.ended,
        tally.response_seconds,
        tally.late,
        tally.busy_seconds,
    )
}
