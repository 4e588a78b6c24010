//! The task graph in compressed sparse row form, and the questions one asks of it.

mod critical_path;
mod csr;
mod cycle;
mod dag;
mod durations;
mod error;
mod grouping;
mod levels;
mod order;
mod simulate;

#[cfg(test)]
mod tests;

pub use critical_path::{CriticalPath, Timing};
pub use dag::TaskDag;
pub use durations::RejectedDuration;
pub use error::GraphError;
pub use grouping::{Group, GroupingTerms, NodeCost};
pub use simulate::{Schedule, Slot};

/// A node's number: its place in the order in which nodes were added.
pub type NodeIndex = u32;
