//! What run history keeps of each node, snapshotted when the node ends: later
//! changes to an output do not reach it.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use pyo3::exceptions::PySystemError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use crate::py::values::{Verdict, write_json};

use super::node::Node;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RowStatus {
    Completed,
    /// It has not run: its output was kept.
    Taken,
    Failed,
    Skipped,
}

impl RowStatus {
    fn name(self) -> &'static str {
        match self {
            // Stock records a skipped node as completed, and says so in its metadata.
            // So is one whose output was kept.
            Self::Completed | Self::Taken | Self::Skipped => "completed",
            Self::Failed => "failed",
        }
    }
}

pub(super) struct Row {
    index: u32,
    status: RowStatus,
    started: Instant,
    ended: Instant,
    result: Snapshot,
    error: Option<Py<PyAny>>,
}

enum Snapshot {
    None,
    Json(Vec<u8>),
    /// Kailash's own encoder has to decide; it gets the object.
    Object(Py<PyAny>),
}

/// The rows of one run, in the order in which nodes ended.
pub(super) struct RunRows {
    began: Instant,
    began_epoch: f64,
    rows: Vec<Row>,
}

impl RunRows {
    pub(super) fn new() -> Self {
        let epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0.0, |elapsed| elapsed.as_secs_f64());
        Self {
            began: Instant::now(),
            began_epoch: epoch,
            rows: Vec::new(),
        }
    }

    pub(super) fn row(
        index: u32,
        status: RowStatus,
        started: Instant,
        output: Option<&Bound<'_, PyAny>>,
        error: Option<&Bound<'_, PyAny>>,
    ) -> Row {
        let result = match output {
            Some(output) if matches!(status, RowStatus::Completed | RowStatus::Taken) => {
                snapshot(output)
            }
            _ => Snapshot::None,
        };
        Row {
            index,
            status,
            started,
            ended: Instant::now(),
            result,
            error: error.map(|error| error.clone().unbind()),
        }
    }

    pub(super) fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    fn epoch(&self, at: Instant) -> f64 {
        self.began_epoch + at.duration_since(self.began).as_secs_f64()
    }
}

fn snapshot(output: &Bound<'_, PyAny>) -> Snapshot {
    let mut text = Vec::new();
    match write_json(output, &mut text) {
        Verdict::Yes => Snapshot::Json(text),
        Verdict::AskPython => Snapshot::Object(output.clone().unbind()),
    }
}

/// What Python adds to rows.
pub(super) struct RowTexts<'py> {
    /// Encodes what only Kailash's own encoder can decide about.
    pub(super) encode: Bound<'py, PyAny>,
    /// `metadata` of a skipped node.
    pub(super) skipped: Bound<'py, PyAny>,
    /// Makes the `metadata` of a node whose output was kept, of its id and the duration.
    pub(super) taken: Bound<'py, PyAny>,
    /// `metadata` of nodes that bring their own, by id: a function of the
    /// duration.
    pub(super) own_metadata: Bound<'py, PyDict>,
}

impl RunRows {
    /// Rows as the history writer takes them: node id and type, status, start
    /// and end in seconds since the epoch, result, error and metadata as text,
    /// duration in seconds.
    pub(super) fn task_rows<'py>(
        &self,
        py: Python<'py>,
        nodes: &[Node],
        texts: &RowTexts<'py>,
    ) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for row in &self.rows {
            let node = &nodes[row.index as usize];
            let result = match &row.result {
                Snapshot::None => py.None().into_bound(py),
                Snapshot::Json(text) => match std::str::from_utf8(text) {
                    Ok(text) => PyString::new(py, text).into_any(),
                    Err(_) => return Err(PySystemError::new_err("JSON text is not ASCII")),
                },
                Snapshot::Object(output) => texts.encode.call1((output,))?,
            };
            let completed = matches!(row.status, RowStatus::Completed | RowStatus::Taken);
            let seconds = completed.then(|| row.ended.duration_since(row.started).as_secs_f64());
            let error = match &row.error {
                Some(error) => Some(error.bind(py).str()?),
                None => None,
            };
            let metadata = match row.status {
                RowStatus::Skipped => Some(texts.skipped.clone()),
                RowStatus::Taken => Some(texts.taken.call1((&node.id, seconds))?),
                _ => match texts.own_metadata.get_item(&node.id)? {
                    Some(own) => Some(own.call1((seconds,))?),
                    None if completed => None,
                    None => Some(intern!(py, "{}").clone().into_any()),
                },
            };
            let entry = (
                &node.id,
                &node.class_name,
                row.status.name(),
                self.epoch(row.started),
                self.epoch(row.ended),
                result,
                error,
                metadata,
                seconds,
                // Metrics: stock's zeros.
                py.None(),
            );
            list.append(entry.into_pyobject(py)?)?;
        }
        Ok(list)
    }

    pub(super) fn began(&self) -> f64 {
        self.began_epoch
    }

    /// Length of all texts, in bytes.
    pub(super) fn text_bytes(&self) -> usize {
        self.rows
            .iter()
            .map(|row| match &row.result {
                Snapshot::Json(text) => text.len(),
                Snapshot::None | Snapshot::Object(_) => 0,
            })
            .sum()
    }
}
