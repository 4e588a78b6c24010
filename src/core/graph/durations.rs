//! Durations given by a user, checked before anything is computed from them.

use std::fmt;

use super::{GraphError, NodeIndex};

/// A duration in seconds that was refused. Compared bit by bit, so that an error about NaN
/// equals itself.
#[derive(Debug, Clone, Copy)]
pub struct RejectedDuration(pub f64);

impl PartialEq for RejectedDuration {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for RejectedDuration {}

impl fmt::Display for RejectedDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0)
    }
}

/// Accepts one finite, non-negative duration a node whose sum is finite too: every path length
/// and every time in a schedule is then an ordinary number.
pub(super) fn check(durations: &[f64], node_count: usize) -> Result<(), GraphError> {
    if durations.len() != node_count {
        return Err(GraphError::DurationCount {
            expected: node_count,
            given: durations.len(),
        });
    }
    let mut total = 0.0;
    for (node, &seconds) in durations.iter().enumerate() {
        if !seconds.is_finite() || seconds < 0.0 {
            return Err(GraphError::InvalidDuration {
                node: node as NodeIndex,
                seconds: RejectedDuration(seconds),
            });
        }
        total += seconds;
    }
    // The margin covers sums taken in another order than this one.
    if total > f64::MAX / 2.0 {
        return Err(GraphError::DurationOverflow);
    }
    Ok(())
}
