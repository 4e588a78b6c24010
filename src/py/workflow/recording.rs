//! Nodes of a run that are taken down for a trace.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::core::graph::TaskDag;
use crate::core::tracing::{NodeEvent, Recorder, Status};
use crate::py::engine::{Program, Site, Step, take_wait};
use crate::py::tracing::{ending, this_thread};

use super::program::WorkflowProgram;

/// A node has not ended.
const PENDING: u64 = u64::MAX;

thread_local! {
    /// How the node ended that the calling thread runs, once that is known.
    static NOTED: Cell<Option<(Status, u32)>> = const { Cell::new(None) };
}

/// Where a run's nodes are taken down. Times are nanoseconds since the trace began.
pub(crate) struct Recording {
    recorder: Arc<Recorder>,
    run: u32,
    began: u64,
    /// When nodes had ended, by position.
    ends: Box<[AtomicU64]>,
}

impl Recording {
    pub(crate) fn new(recorder: Arc<Recorder>, run: u32, nodes: usize) -> Self {
        Self {
            run,
            began: recorder.now(),
            recorder,
            ends: (0..nodes).map(|_| AtomicU64::new(PENDING)).collect(),
        }
    }

    /// When everything had ended that a node depends on, in this run.
    fn ready(&self, dag: &TaskDag, position: u32) -> u64 {
        let ends = dag.predecessors(position).iter().filter_map(|&source| {
            let end = self.ends[source as usize].load(Ordering::Relaxed);
            (end != PENDING).then_some(end)
        });
        ends.max().unwrap_or(self.began)
    }

    /// From now on nodes that wait for this one may start.
    pub(super) fn ended(&self, position: u32, end: Instant) {
        let end = self.recorder.at(end);
        self.ends[position as usize].store(end, Ordering::Relaxed);
    }

    pub(super) fn ending(&self, py: Python<'_>, error: &PyErr) -> (Status, u32) {
        ending(py, &self.recorder, error)
    }

    /// How the node ends that the calling thread runs, with the number of its error.
    pub(super) fn note(status: Status, error: u32) {
        NOTED.set(Some((status, error)));
    }

    /// What was noted meanwhile; of nodes that `act` runs inside a node, nothing.
    pub(super) fn noting<R>(act: impl FnOnce() -> R) -> (R, Option<(Status, u32)>) {
        let around = NOTED.take();
        let result = act();
        (result, NOTED.replace(around))
    }

    /// Takes down a node that has ended as was noted.
    pub(super) fn take_down(
        &self,
        py: Python<'_>,
        program: &WorkflowProgram,
        position: u32,
        (start, end): (Instant, Instant),
        waited: Duration,
        noted: Option<(Status, u32)>,
    ) {
        let (status, error) = noted.unwrap_or((Status::Completed, 0));
        let ready = self.ready(&program.stage.dag, position);
        let (start, end) = (self.recorder.at(start), self.recorder.at(end));
        let event = NodeEvent::new(
            self.run,
            program.stage.node(position),
            ready.min(start),
            start,
            end,
            (waited.as_nanos() as u64).min(start.saturating_sub(ready)),
        );
        let thread = self.recorder.thread(|| this_thread(py));
        self.recorder.record(&event, thread, status, error);
    }

    /// Runs a node and takes it down, once it has ended.
    #[cold]
    pub(super) fn around(
        &self,
        py: Python<'_>,
        program: &WorkflowProgram,
        position: u32,
        site: Site,
    ) -> PyResult<Step> {
        let waited = take_wait(self.recorder.began());
        let start = Instant::now();
        let (result, mut noted) = Self::noting(|| program.run_at(py, position, site));
        let end = Instant::now();
        match &result {
            Ok(Step::Parked | Step::Declined) => return result,
            Ok(Step::Ended) => {}
            Err(error) => noted = Some(self.ending(py, error)),
        }
        program.took(position, end - start, noted);
        let is_unconfirmed = program.is_unconfirmed(position);
        self.take_down(py, program, position, (start, end), waited, noted);
        if !is_unconfirmed {
            self.ended(position, end);
        }
        result
    }
}
