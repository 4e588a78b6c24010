//! What is measured while it happens.

mod cgroup;
mod failures;
mod histogram;
mod process;
mod registry;
mod sampling;
mod sparse;
mod workflow;

pub use cgroup::{Limits, limits};
pub use failures::{Failures, OTHER};
pub use histogram::{Histogram, Snapshot};
pub use process::{Process, process};
pub use registry::RuntimeFigures;
pub use sampling::Sampler;
pub use sparse::SparseHistogram;
pub use workflow::{Active, NodeFigures, RunEnd, WorkflowFigures, WorkflowTotals};
