//! A pool of worker threads with a bounded queue, for tasks of any kind.
//!
//! What decides lies here: who runs which task next, when a thread is started,
//! woken or sent home, who waits for room in the queue, and how the pool ends.
//! How a thread lives and what a task does is the host's.
//!
//! The rules that all of it keeps:
//!
//! - While tasks are queued, one worker at the most is on its way to them, and
//!   it sends for the next one when it has taken its task. So a burst of
//!   submissions wakes one thread, not one for each task, and a task that blocks
//!   delays nobody. If no worker is on its way, none is idle and no more may be
//!   started.
//! - Workers that wait are woken last in, first out: those not needed stay idle,
//!   and leave after their time.
//! - Whoever waits for room in the queue gets it first come, first served. The
//!   thread that makes room puts the waiting task into the queue itself, so that
//!   nobody can take the room in between.

mod leave;
mod metrics;
mod queue;
mod stall;
mod state;
mod submission;
mod waits;
mod worker;

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;

use std::sync::Arc;

pub use leave::{Ending, Leftovers};
pub use metrics::{Metrics, Statistics};
pub use state::{Executor, Limits};
pub use submission::{Place, Refusal, Refused, Room, Submission};
pub use waits::{Interest, Waits};
pub use worker::{Taken, Worker};

/// Something that an executor queues.
pub trait Task: Send {
    /// Whether nobody wants it any more, or somebody runs it without having
    /// taken it from the queue.
    fn is_stale(&self) -> bool;
}

/// What an executor's threads belong to.
pub trait Host: Send + Sync + Sized + 'static {
    type Task: Task;

    /// Starts a thread that calls `Executor::enter` and then takes tasks; `false`
    /// if the system refuses it. The number is new for each.
    fn start(executor: &Arc<Executor<Self>>, number: u64) -> bool;
}
