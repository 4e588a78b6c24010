//! Pools of things that are handed from one user to the next, first come, first
//! served.

mod backoff;
mod crew;
mod line;
mod pool;
mod rotation;
mod rules;
mod state;
mod terms;

#[cfg(all(test, not(loom)))]
mod crew_tests;
#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod pool_bench;
#[cfg(all(test, not(loom)))]
mod pool_day;
#[cfg(all(test, not(loom)))]
mod pool_properties;
#[cfg(all(test, not(loom)))]
mod pool_tests;
#[cfg(all(test, not(loom)))]
mod rotation_tests;

pub use crew::{Attendant, Crew, dismiss_crews};
pub use line::{Identity, Line, Waiter, Wake};
pub use pool::{Asked, Driver, Next, NotOut, Pool, Quit, Refusal};
pub use rotation::{Counts, Entry, Foreign, Grant, Order, Rotation};
pub use rules::Rules;
pub use terms::{Condition, Counters, Gauges, Handed, Lease, Task, Ticket};
