//! Numbers as users give them, checked.

use std::time::{Duration, Instant};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// How often a wait looks for signals, such as Ctrl-C.
pub(super) const SIGNAL_INTERVAL: Duration = Duration::from_millis(100);

/// How long a caller waits.
#[derive(Clone, Copy)]
pub(super) enum Patience {
    /// It takes what there is.
    None,
    Until(Instant),
    Endless,
}

impl Patience {
    pub(super) fn of_seconds(seconds: f64, name: &str) -> PyResult<Self> {
        if seconds.is_nan() || seconds < 0.0 {
            return Err(PyValueError::new_err(format!(
                "{name} must be a number of seconds of at least 0, got {seconds}"
            )));
        }
        if seconds == 0.0 {
            return Ok(Self::None);
        }
        // More than the clock can express is no limit.
        Ok(Duration::try_from_secs_f64(seconds)
            .ok()
            .and_then(|limit| Instant::now().checked_add(limit))
            .map_or(Self::Endless, Self::Until))
    }

    /// How long to sleep until the next look at signals; `None` when it is over.
    pub(super) fn nap(self) -> Option<Duration> {
        match self {
            Self::None => None,
            Self::Endless => Some(SIGNAL_INTERVAL),
            Self::Until(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                (!left.is_zero()).then(|| left.min(SIGNAL_INTERVAL))
            }
        }
    }
}
