//! What is counted of one run and its nodes.

use std::ops::Deref;
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

/// The figures of a plan and a runtime.
pub(super) enum Found<'a> {
    /// The plan's first: nothing is to be held on to.
    Plans(&'a WorkflowFigures),
    Other(Arc<WorkflowFigures>),
}

impl Deref for Found<'_> {
    type Target = WorkflowFigures;

    fn deref(&self) -> &WorkflowFigures {
        match self {
            Self::Plans(figures) => figures,
            Self::Other(figures) => figures,
        }
    }
}

/// Where one run is counted.
pub(super) struct RunFigures {
    /// `None` if the figures are the plan's first, which the run keeps anyway.
    other: Option<Arc<WorkflowFigures>>,
    /// For how many executions one of a node stands here; zero if none is timed.
    weight: u32,
    /// Set by whoever drives the run, alone.
    is_over: AtomicBool,
    has_left: AtomicBool,
}

impl Plan {
    /// Where a runtime counts this plan's runs.
    #[inline]
    pub(super) fn figures(
        &self,
        runtime: &Arc<RuntimeFigures>,
        workflow: &Bound<'_, PyAny>,
    ) -> Found<'_> {
        let known = self.known_figures(runtime.number);
        known.unwrap_or_else(|| {
            let name = || name_of(workflow);
            Found::Other(self.figures_of_another(workflow.py(), runtime, name))
        })
    }

    #[inline]
    fn known_figures(&self, runtime: u64) -> Option<Found<'_>> {
        let (number, first) = self.figures.first.get()?;
        (*number == runtime).then_some(Found::Plans(first))
    }

    #[cold]
    fn figures_of_another(
        &self,
        py: Python<'_>,
        runtime: &Arc<RuntimeFigures>,
        name: impl FnOnce() -> String,
    ) -> Arc<WorkflowFigures> {
        let number = runtime.number;
        let find = |known: &[Counted]| {
            let found = known.iter().find(|(each, _, _)| *each == number);
            found.map(|(_, _, figures)| Arc::clone(figures))
        };
        if let Some(known) = find(&self.figures.others.lock()) {
            return known;
        }
        let fresh = runtime.of(&name(), &self.shape(py));
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
    fn begin(found: Found<'_>) -> Self {
        found.active.begin();
        Self {
            weight: found.sampler.weight(),
            other: match found {
                Found::Plans(_) => None,
                Found::Other(figures) => Some(figures),
            },
            is_over: AtomicBool::new(false),
            has_left: AtomicBool::new(false),
        }
    }
}

impl WorkflowProgram {
    /// Has the run counted, which has not begun.
    pub(super) fn count(&mut self, py: Python<'_>, runtime: &Arc<RuntimeFigures>) {
        let found = self.plan.known_figures(runtime.number);
        let found = found.unwrap_or_else(|| {
            let name = || name_of(&self.host.workflow(py));
            Found::Other(self.plan.figures_of_another(py, runtime, name))
        });
        let figures = RunFigures::begin(found);
        *self.is_watched.get_mut() |= figures.weight > 0;
        self.run_figures = Some(figures);
    }

    /// Where the run is counted, if it is.
    #[inline]
    pub(super) fn figures(&self) -> Option<&WorkflowFigures> {
        self.counted().map(|(_, figures)| figures)
    }

    #[inline]
    fn counted(&self) -> Option<(&RunFigures, &WorkflowFigures)> {
        let run = self.run_figures.as_ref()?;
        let figures = match &run.other {
            Some(other) => other,
            None => &self.plan.figures.first.get()?.1,
        };
        Some((run, figures))
    }

    /// The run is no longer under way, though nodes of it may still run.
    pub(super) fn leave(&self) {
        if let Some((run, figures)) = self.counted()
            && !run.has_left.load(Ordering::Acquire)
        {
            run.has_left.store(true, Ordering::Release);
            figures.active.end();
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
        if let Some((run, figures)) = self.counted()
            && run.weight > 0
            && ran
        {
            figures.took(self.stage.node(position), duration, run.weight);
        }
    }

    /// A node is left out.
    pub(super) fn note_skipped(&self, index: u32) {
        if let Some(figures) = self.figures() {
            figures.skipped(index);
        }
        self.note(Status::Skipped);
    }

    /// A node's output was taken over.
    pub(super) fn note_cached(&self, index: u32) {
        if let Some(figures) = self.figures() {
            figures.cached(index);
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
        if let Some(figures) = self.figures()
            && error.is_instance_of::<PyException>(py)
        {
            let name = type_name(py, error);
            figures.node_failed(index, &name);
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
        let Some((run, figures)) = self.counted() else {
            return;
        };
        // Told by whoever drives the run, and once more when nobody has it any longer.
        if run.is_over.load(Ordering::Acquire) {
            return;
        }
        run.is_over.store(true, Ordering::Release);
        self.leave();
        if is_whole && self.stage.is_whole() {
            figures.went_through();
            return;
        }
        for node in self.stage.nodes() {
            if self.kind(node) != Kind::Pending {
                figures.reached(node);
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
