//! A cache that never calls its keys or values while it is locked.
//!
//! Keys and values are whatever the caller holds. Whether two keys are equal may be known
//! at once, or only by asking code that may do anything, this cache included; that code
//! runs unlocked, and what it said is acted on only if it still concerns what is there
//! (see [`Cache::at`]). What leaves the cache is handed to the caller, who drops it, and
//! tells whoever wants to know, after the lock is released.

mod clock;
mod counts;
mod expiry;
mod flight;
mod flights;
mod lists;
mod locked;
#[cfg(all(test, loom))]
mod loom_tests;
mod policy;
mod reuse;
mod sampled;
mod sketch;
mod store;
mod tags;
#[cfg(all(test, not(loom)))]
mod tests;
mod waits;

pub use clock::Clock;
pub use counts::{Counts, Gauges};
pub use flight::{Ending, Flight};
pub use flights::Flights;
pub use locked::{Cache, Question};
pub use reuse::{Estimate, Report, USUAL_SHARE};
pub use store::{Cause, Found, Gone, Limits, Place, Policy, Store, Terms};
pub use waits::{Agent, Deadlock, Goal, Waiting, wait_for};

/// A moment in nanoseconds, on whatever clock the caller goes by.
pub type Nanos = u64;

/// No moment comes this late.
pub const NEVER: Nanos = Nanos::MAX;
