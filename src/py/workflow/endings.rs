//! What becomes of a node that has ended: its output kept, its failure told.

use std::time::Instant;

use pyo3::exceptions::{PyBaseException, PyException};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::py::errors::exception;

use super::history::{RowStatus, RunRows};
use super::outputs::{Kind, may_report_failure};
use super::program::{Dialect, Ended, WorkflowProgram};

impl WorkflowProgram {
    /// Keeps what a node returned and looks for a failure that it reports.
    fn keep_output(&self, py: Python<'_>, index: u32, output: &Bound<'_, PyAny>) -> PyResult<()> {
        self.put_output(py, index, output)?;
        if self.settings.stock_inputs {
            let name = intern!(py, "output_seen");
            self.host.bind(py).ask(name, (index, output))?;
        }
        if self.settings.detects_content_failures && may_report_failure(output) {
            let host = self.host.bind(py);
            let failure = host.ask(intern!(py, "content_failure"), (index, output))?;
            if !failure.is_none() {
                return Err(PyErr::from_value(failure));
            }
        }
        Ok(())
    }

    /// Puts an output where consumers and results find it.
    pub(super) fn put_output(
        &self,
        py: Python<'_>,
        index: u32,
        output: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let node = &self.plan.nodes[index as usize];
        if node.has_dependents && self.dialect == Dialect::Local {
            self.set_kind(index, Kind::of(output));
        } else {
            self.set_kind(index, Kind::Clean);
        }
        if output.is_none() {
            // To its consumers a node that returns nothing looks like one that
            // was skipped.
            self.set_kind(index, Kind::Skipped);
        }
        // SAFETY: this thread runs `index`.
        unsafe { self.slots.fill(self.place(index), output.clone().unbind()) };
        self.results.bind(py).set_item(&node.id, output)
    }

    fn keep_skip(&self, py: Python<'_>, index: u32) -> PyResult<()> {
        self.set_kind(index, Kind::Skipped);
        // SAFETY: this thread runs `index`.
        unsafe { self.slots.fill(self.place(index), py.None()) };
        let id = &self.plan.nodes[index as usize].id;
        self.results.bind(py).set_item(id, py.None())
    }

    /// A node failed: stock either stops the run or records the failure.
    fn keep_failure(
        &self,
        py: Python<'_>,
        index: u32,
        error: &PyErr,
        inputs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        // A node that reports a failure has run to its end all the same.
        if self.kind(index) == Kind::Pending {
            self.set_kind(index, Kind::Failed);
        }
        if self.dialect == Dialect::Cyclic {
            return Err(error.clone_ref(py));
        }
        let host = self.host.bind(py);
        let value = exception(py, error);
        let record = host.ask(intern!(py, "node_failed"), (index, value, inputs))?;
        if record.is_instance_of::<PyBaseException>() {
            return Err(PyErr::from_value(record));
        }
        let id = &self.plan.nodes[index as usize].id;
        // SAFETY: this thread runs `index`.
        unsafe { self.slots.fill(index, record.clone().unbind()) };
        self.results.bind(py).set_item(id, record)
    }

    /// Whether a node's output was taken from the cache.
    pub(super) fn was_taken(&self, index: u32) -> bool {
        let caching = self.caching.as_ref();
        caching.is_some_and(|caching| caching.was_taken(index))
    }

    /// Ends a node that has been given its inputs, whoever ran it.
    pub(super) fn end_node(
        &self,
        py: Python<'_>,
        index: u32,
        inputs: Option<&Bound<'_, PyDict>>,
        ended: PyResult<Ended<'_>>,
        started: Option<Instant>,
    ) -> PyResult<()> {
        let is_skipped = matches!(ended, Ok(Ended::Skipped));
        let kept = ended.and_then(|ended| match ended {
            Ended::Output(output) => {
                self.keep_output(py, index, &output)?;
                self.record(
                    py,
                    index,
                    RowStatus::Completed,
                    Some(&output),
                    None,
                    started,
                );
                Ok(Some(output))
            }
            Ended::Skipped => {
                self.keep_skip(py, index)?;
                self.record(py, index, RowStatus::Skipped, None, None, started);
                Ok(None)
            }
        });
        if self.settings.observed && is_skipped && self.dialect == Dialect::Async {
            let host = self.host.bind(py);
            host.ask(intern!(py, "node_skipped"), (index,))?;
        } else if self.settings.observed {
            let host = self.host.bind(py);
            let name = intern!(py, "node_ended");
            let (output, error) = match &kept {
                Ok(output) => (output.as_ref(), None),
                Err(error) => (None, Some(exception(py, error))),
            };
            let seconds = started.map_or(0.0, |started| started.elapsed().as_secs_f64());
            host.ask(name, (index, inputs, output, error, seconds))?;
        }
        match &kept {
            Ok(None) => self.note_skipped(index),
            Ok(Some(_)) if self.was_taken(index) => self.note_cached(index),
            kept => self.note_ran(py, index, kept.as_ref().err()),
        }
        match kept {
            Ok(_) => Ok(()),
            Err(error) if error.is_instance_of::<PyException>(py) => {
                self.record(py, index, RowStatus::Failed, None, Some(&error), started);
                self.keep_failure(py, index, &error, inputs)
            }
            Err(error) => Err(error),
        }
    }

    fn record(
        &self,
        py: Python<'_>,
        index: u32,
        status: RowStatus,
        output: Option<&Bound<'_, PyAny>>,
        error: Option<&PyErr>,
        started: Option<Instant>,
    ) {
        if let (Some(rows), Some(started)) = (&self.rows, started) {
            let status = if self.was_taken(index) && status == RowStatus::Completed {
                RowStatus::Taken
            } else {
                status
            };
            let error = error.map(|error| exception(py, error).into_any());
            let row = RunRows::row(index, status, started, output, error.as_ref());
            rows.lock().push(row);
        }
    }
}
