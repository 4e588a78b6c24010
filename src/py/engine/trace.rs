//! When and where nodes of one run ran, for whoever asked to see it.

use std::time::Instant;

use pyo3::prelude::*;

use crate::core::locks::Mutex;

#[derive(Clone)]
pub(crate) struct NodeSpan {
    pub node: u32,
    pub thread: String,
    /// Seconds since the run began.
    pub start: f64,
    pub end: f64,
}

pub(crate) struct Trace {
    began: Instant,
    spans: Mutex<Vec<NodeSpan>>,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            spans: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn record(&self, py: Python<'_>, node: u32, start: Instant, end: Instant) {
        let thread = thread_name(py).unwrap_or_else(|_| "?".into());
        self.spans.lock().push(NodeSpan {
            node,
            thread,
            start: start.duration_since(self.began).as_secs_f64(),
            end: end.duration_since(self.began).as_secs_f64(),
        });
    }

    pub(crate) fn spans(&self) -> Vec<NodeSpan> {
        self.spans.lock().clone()
    }
}

fn thread_name(py: Python<'_>) -> PyResult<String> {
    py.import("threading")?
        .call_method0("current_thread")?
        .getattr("name")?
        .extract()
}
