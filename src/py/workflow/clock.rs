//! How long a node takes, against its limit.

use std::time::Instant;

use crate::core::threads::coarse_seconds;

/// Tells whether a node took longer than its limit.
pub(super) struct NodeClock;

/// Limits shorter than this are measured by the node; longer ones by the
/// watcher's clock, which costs a node nothing and is right to a few
/// milliseconds.
const PRECISE_BELOW: f64 = 5.0;

pub(super) enum Started {
    Precise(Instant),
    Coarse(f64),
}

impl NodeClock {
    #[inline]
    #[allow(clippy::unused_self)] // reads as what it is at the call
    pub(super) fn now(&self, limit: f64) -> Started {
        if limit < PRECISE_BELOW {
            Started::Precise(Instant::now())
        } else {
            Started::Coarse(coarse_seconds())
        }
    }

    /// Seconds since `started`, if they are more than `limit`.
    #[inline]
    #[allow(clippy::unused_self)]
    #[allow(clippy::needless_pass_by_value)]
    pub(super) fn since(&self, started: Started, limit: f64) -> Option<f64> {
        let elapsed = match started {
            Started::Precise(started) => started.elapsed().as_secs_f64(),
            Started::Coarse(started) => coarse_seconds() - started,
        };
        (elapsed > limit).then_some(elapsed)
    }
}
