//! Scheduling without Python: everything here is tested by `cargo nextest` alone.

pub mod cache;
pub mod connections;
pub mod executor;
pub mod graph;
pub mod keys;
pub mod locks;
pub mod metrics;
pub mod processes;
pub mod replay;
pub mod schedule;
pub mod sync;
#[cfg(test)]
mod testing;
pub mod threads;
pub mod tracing;
