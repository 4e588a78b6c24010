//! Pools of things that are handed from one user to the next, first come, first
//! served.

mod line;
mod rotation;

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod rotation_tests;

pub use line::{Identity, Line, Waiter, Wake};
pub use rotation::{Counts, Entry, Foreign, Grant, Order, Rotation};
