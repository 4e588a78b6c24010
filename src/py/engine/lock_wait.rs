//! How long threads of the engine wait for the interpreter's lock before they go on.

use std::cell::Cell;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

thread_local! {
    /// When the calling thread last got the lock back, and how long that took.
    static LAST: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };

    /// The same, for whoever counts.
    static UNCOUNTED: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// Runs `act` without the interpreter, and measures how long it takes to have it back.
pub(crate) fn detached<R: Send>(py: Python<'_>, act: impl FnOnce() -> R + Send) -> R {
    let mut done = None;
    let result = py.detach(|| {
        let result = act();
        done = Some(Instant::now());
        result
    });
    if let Some(done) = done {
        let now = Instant::now();
        LAST.set(Some((now, now - done)));
        UNCOUNTED.set(Some(now - done));
    }
    result
}

/// The calling thread's last wait, once, if it ended after `since`.
pub(crate) fn take_wait(since: Instant) -> Duration {
    match LAST.take() {
        Some((ended, waited)) if ended >= since => waited,
        _ => Duration::ZERO,
    }
}

/// The calling thread's last wait, once.
pub(crate) fn uncounted_wait() -> Option<Duration> {
    UNCOUNTED.take()
}
