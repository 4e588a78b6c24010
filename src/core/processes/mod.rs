//! Which nodes run in processes of their own.

mod placement;
mod thread_time;

pub use placement::{Place, Placement, Policy, Verdict};
pub use thread_time::thread_time;

#[cfg(test)]
mod tests;
