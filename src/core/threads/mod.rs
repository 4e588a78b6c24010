//! Threads: workers that run handed-over nodes, and the watcher that notices
//! when a run needs them.

mod fork;
mod pool;
mod usage;
mod watcher;

#[cfg(test)]
mod tests;

pub use fork::{ForkLocal, PerProcess, generation as fork_generation};
pub use pool::{Job, WorkerPool, pool};
pub use usage::{Spent, Stretch, paused};
pub use watcher::{Watched, Watching, coarse_seconds, prepare_watcher, watch};
