//! Nodes that the caller awaits itself: what comes before and after.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pyo3::exceptions::PySystemError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::core::tracing::Status;

use super::program::{Dialect, Ended, WorkflowProgram};
use super::recording::Recording;
use super::run::WorkflowRun;

impl WorkflowProgram {
    /// The inputs of a pinned node, for the caller that awaits it. `None` when
    /// the node ended without running.
    pub(super) fn begin_pinned<'py>(
        &self,
        py: Python<'py>,
        index: u32,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        if self.settings.tracks && self.replay(py, index)? {
            return Ok(None);
        }
        let node = &self.plan.nodes[index as usize];
        let started = self.begin_node(py, index)?;
        let inputs = match self.assemble(py, index) {
            Ok(inputs) => inputs,
            Err(error) => {
                self.end_node(py, index, None, Err(error), started)?;
                return Ok(None);
            }
        };
        if self.is_skipped(py, index, node, &inputs)? {
            self.end_node(py, index, Some(&inputs), Ok(Ended::Skipped), started)?;
            return Ok(None);
        }
        if self.dialect == Dialect::Local {
            let context = self.workflow_context.bind(py);
            let host = self.host.bind(py);
            host.ask(intern!(py, "give_context"), (index, context))?;
        } else {
            self.tell_started(py, index)?;
        }
        Ok(Some(inputs))
    }

    pub(super) fn end_pinned(
        &self,
        py: Python<'_>,
        index: u32,
        inputs: &Bound<'_, PyDict>,
        outcome: PyResult<Bound<'_, PyAny>>,
        started: Instant,
    ) -> PyResult<()> {
        let ended = outcome.map(Ended::Output);
        self.end_node(py, index, Some(inputs), ended, Some(started))
    }
}

/// One that is being awaited.
pub(super) struct Pinned {
    inputs: Py<PyDict>,
    started: Instant,
    /// In the run's own order.
    position: u32,
    /// When it had run, if it was to be confirmed then.
    pub(super) ran: Option<Instant>,
}

impl Drop for WorkflowRun {
    /// Nodes that were awaited and never reported, because their loop is gone.
    fn drop(&mut self) {
        let unreported = std::mem::take(&mut *self.pinned.lock());
        for _ in unreported {
            self.execution.leave_loop_place();
        }
    }
}

impl WorkflowRun {
    /// Makes nodes ready to be awaited. Returns `[(node, inputs), …]`, without those that
    /// ended without running.
    pub(super) fn begin_pinned<'py>(
        &self,
        py: Python<'py>,
        positions: &[u32],
    ) -> PyResult<Bound<'py, PyList>> {
        let waiting = PyList::empty(py);
        for &position in positions {
            let started = Instant::now();
            let node = self.execution.program.stage.node(position);
            let (begun, noted) =
                Recording::noting(|| self.execution.program.begin_pinned(py, node));
            if !matches!(begun, Ok(Some(_))) {
                self.take_down(py, position, started, None, begun.as_ref().err(), noted);
            }
            match begun {
                Ok(Some(inputs)) => {
                    waiting.append((node, &inputs))?;
                    let pinned = Pinned {
                        inputs: inputs.unbind(),
                        started,
                        position,
                        ran: None,
                    };
                    self.pinned.lock().insert(node, pinned);
                }
                Ok(None) => self.execution.finish_pinned(py, position, 0.0, None),
                Err(error) => self.execution.finish_pinned(py, position, 0.0, Some(error)),
            }
        }
        Ok(waiting)
    }

    /// Ends a node that was awaited: with what it returned, or what it raised.
    pub(super) fn end_awaited(
        &self,
        py: Python<'_>,
        node: u32,
        output: Bound<'_, PyAny>,
        error: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let Some(pinned) = self.pinned.lock().remove(&node) else {
            return Err(PySystemError::new_err(format!(
                "node {node} was not handed out"
            )));
        };
        let outcome = match error {
            None => Ok(output),
            Some(error) => Err(PyErr::from_value(error)),
        };
        let program = &self.execution.program;
        let inputs = pinned.inputs.bind(py);
        let waited = pinned.ran.map_or(Duration::ZERO, |ran| ran.elapsed());
        let started = pinned.started + waited;
        let (ended, noted) =
            Recording::noting(|| program.end_pinned(py, node, inputs, outcome, started));
        let error = ended.as_ref().err();
        self.take_down(
            py,
            pinned.position,
            pinned.started,
            pinned.ran,
            error,
            noted,
        );
        let seconds = started.elapsed().as_secs_f32();
        self.execution
            .finish_pinned(py, pinned.position, seconds, ended.err());
        Ok(())
    }

    /// Takes down an awaited node that has ended, where the run is traced; when it `ran`
    /// to its end, if something else came after that.
    fn take_down(
        &self,
        py: Python<'_>,
        position: u32,
        started: Instant,
        ran: Option<Instant>,
        error: Option<&PyErr>,
        noted: Option<(Status, u32)>,
    ) {
        let program = &self.execution.program;
        if !program.is_watched.load(Ordering::Relaxed) {
            return;
        }
        let now = Instant::now();
        let times = (started, ran.unwrap_or(now));
        program.took(position, times.1 - started, noted);
        let Some(recording) = program.recording.get() else {
            return;
        };
        let noted = error.map(|error| recording.ending(py, error)).or(noted);
        recording.take_down(py, program, position, times, Duration::ZERO, noted);
        recording.ended(position, now);
    }
}
