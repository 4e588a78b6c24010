//! One run of a task graph: which node may start, and who starts it.
//!
//! Nodes are numbered by their position in a topological order. A run begins
//! *solo*: the calling thread executes nodes in that order and publishes its
//! position with one compare-and-swap a node. When a node holds the caller
//! while others could run, the run is *handed over*: from then on every thread
//! takes ready nodes from a shared queue.

mod admission;
mod brevity;
mod durations;
mod run;
mod shared;
mod stepper;

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;

pub use admission::{Admission, Applicant, Place};
pub use brevity::Brevity;
pub use durations::{BLOCKING_SECONDS, LearnedDurations};
pub use run::{Advance, Outlook, Run, RunSettings, Taker};
pub use shared::{Outcome, Take};
pub use stepper::{StepError, Stepper};
