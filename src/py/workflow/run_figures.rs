//! What is counted of one run and its nodes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::core::locks::Mutex;
use crate::core::metrics::{RuntimeFigures, WorkflowFigures};
use crate::core::tracing::Status;
use crate::py::engine::{Site, Step};
use crate::py::failures::type_name;

use super::outputs::Kind;
use super::plan::Plan;
use super::program::WorkflowProgram;
use super::recording::Recording;

/// A plan's figures, by the number of the runtime that counts.
#[derive(Default)]
pub(super) struct PlanFigures {
    /// Of the runtime that came first: most plans are one runtime's.
    first: OnceLock<(u64, Arc<WorkflowFigures>)>,
    others: Mutex<Vec<Counted>>,
}

type Counted = (u64, Weak<RuntimeFigures>, Arc<WorkflowFigures>);

/// Where one run is counted.
pub(super) struct RunFigures {
    pub(super) workflow: Arc<WorkflowFigures>,
    /// For how many executions one of a node stands here; zero if none is timed.
    weight: u32,
    is_over: AtomicBool,
    has_left: AtomicBool,
}

impl Plan {
    /// Where a runtime counts this plan's runs.
    pub(super) fn figures(
        &self,
        runtime: &Arc<RuntimeFigures>,
        workflow: &Bound<'_, PyAny>,
    ) -> Arc<WorkflowFigures> {
        if let Some((number, first)) = self.figures.first.get()
            && *number == runtime.number
        {
            return Arc::clone(first);
        }
        self.figures_of_another(runtime, workflow)
    }

    #[cold]
    fn figures_of_another(
        &self,
        runtime: &Arc<RuntimeFigures>,
        workflow: &Bound<'_, PyAny>,
    ) -> Arc<WorkflowFigures> {
        let number = runtime.number;
        let find = |known: &[Counted]| {
            let found = known.iter().find(|(each, _, _)| *each == number);
            found.map(|(_, _, figures)| Arc::clone(figures))
        };
        if let Some(known) = find(&self.figures.others.lock()) {
            return known;
        }
        let fresh = runtime.of(&name_of(workflow), &self.shape(workflow.py()));
        if self.figures.first.set((number, Arc::clone(&fresh))).is_ok() {
            return fresh;
        }
        let mut known = self.figures.others.lock();
        if let Some(known) = find(&known) {
            return known;
        }
        known.retain(|(_, runtime, _)| runtime.strong_count() > 0);
        known.push((number, Arc::downgrade(runtime), Arc::clone(&fresh)));
        fresh
    }
}

pub(super) fn name_of(workflow: &Bound<'_, PyAny>) -> String {
    let name = workflow.getattr(intern!(workflow.py(), "name"));
    let name = name.ok().and_then(|name| name.cast_into::<PyString>().ok());
    name.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

impl RunFigures {
    pub(super) fn new(workflow: Arc<WorkflowFigures>) -> Self {
        workflow.active.begin();
        Self {
            weight: workflow.sampler.weight(),
            workflow,
            is_over: AtomicBool::new(false),
            has_left: AtomicBool::new(false),
        }
    }

    /// The run is no longer under way, though nodes of it may still run.
    pub(super) fn leave(&self) {
        if !self.has_left.swap(true, Ordering::AcqRel) {
            self.workflow.active.end();
        }
    }
}

impl Drop for RunFigures {
    /// A run that could not be counted: it was already.
    fn drop(&mut self) {
        self.leave();
    }
}

impl WorkflowProgram {
    /// Has the run counted; only the first time, and before a node has run.
    pub(super) fn count(&self, figures: RunFigures) {
        let is_timed = figures.weight > 0;
        if self.figures.set(figures).is_ok() && is_timed {
            self.is_watched.store(true, Ordering::Relaxed);
        }
    }

    /// Runs a node that is taken down or timed.
    #[cold]
    pub(super) fn run_watched(&self, py: Python<'_>, position: u32, site: Site) -> PyResult<Step> {
        if let Some(recording) = self.recording.get() {
            return recording.around(py, self, position, site);
        }
        let start = Instant::now();
        let (result, noted) = Recording::noting(|| self.run_at(py, position, site));
        if !matches!(result, Ok(Step::Parked | Step::Declined)) {
            self.took(position, start.elapsed(), noted);
        }
        result
    }

    /// A node took so long, and ended as was noted.
    pub(super) fn took(&self, position: u32, duration: Duration, noted: Option<(Status, u32)>) {
        let ran = !matches!(noted, Some((Status::Skipped | Status::Cached, _)));
        if let Some(figures) = self.figures.get()
            && figures.weight > 0
            && ran
        {
            let node = self.stage.node(position);
            figures.workflow.took(node, duration, figures.weight);
        }
    }

    /// A node is left out.
    pub(super) fn note_skipped(&self, index: u32) {
        if let Some(figures) = self.figures.get() {
            figures.workflow.skipped(index);
        }
        self.note(Status::Skipped);
    }

    /// A node's output was taken over.
    pub(super) fn note_cached(&self, index: u32) {
        if let Some(figures) = self.figures.get() {
            figures.workflow.cached(index);
        }
        self.note(Status::Cached);
    }

    /// A node has run.
    #[inline]
    pub(super) fn note_ran(&self, py: Python<'_>, index: u32, error: Option<&PyErr>) {
        match error {
            None => self.note(Status::Completed),
            Some(error) => self.note_failed(py, index, error),
        }
    }

    #[cold]
    fn note_failed(&self, py: Python<'_>, index: u32, error: &PyErr) {
        if let Some(figures) = self.figures.get()
            && error.is_instance_of::<PyException>(py)
        {
            let name = type_name(py, error);
            figures.workflow.node_failed(index, &name);
        }
        match self.recording.get() {
            None => self.note(Status::Failed),
            Some(recording) => {
                let (status, number) = recording.ending(py, error);
                Recording::note(status, number);
            }
        }
    }

    #[inline]
    fn note(&self, status: Status) {
        if self.is_watched.load(Ordering::Relaxed) {
            Recording::note(status, 0);
        }
    }

    /// The run is over. `is_whole`: it went through with all of its nodes.
    pub(super) fn is_over(&self, is_whole: bool) {
        let Some(figures) = self.figures.get() else {
            return;
        };
        // Told by whoever drives the run, and once more when nobody has it any longer.
        if figures.is_over.load(Ordering::Acquire) {
            return;
        }
        figures.is_over.store(true, Ordering::Release);
        figures.leave();
        if is_whole && self.stage.is_whole() {
            figures.workflow.went_through();
            return;
        }
        for node in self.stage.nodes() {
            if self.kind(node) != Kind::Pending {
                figures.workflow.reached(node);
            }
        }
    }
}

impl Drop for WorkflowProgram {
    /// A run that came to no end that anybody was told of.
    fn drop(&mut self) {
        self.is_over(false);
    }
}
