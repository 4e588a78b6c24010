//! What is measured while it happens.

mod histogram;

pub use histogram::{Histogram, Snapshot};
