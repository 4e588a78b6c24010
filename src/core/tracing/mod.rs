//! What happened in runs, node by node, for whoever asked to see it.

mod names;
mod recorder;
mod runs;

#[cfg(test)]
mod tests;

pub use recorder::{Columns, NodeEvent, Recorder, Status, Thread};
pub use runs::{RunId, RunRecord, Shape};
