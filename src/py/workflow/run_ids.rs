//! Ids of runs: unique in all processes, in the form that Kailash gives them.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use pyo3::prelude::*;

use crate::core::threads::ForkLocal;

struct Process {
    /// Tells apart what different processes do in one millisecond.
    mark: u64,
    runs: AtomicU64,
}

static PROCESS: ForkLocal<Process> = ForkLocal::new(|| Process {
    // A forked child has its parent's random state, but another number and time.
    mark: RandomState::new().hash_one((std::process::id(), SystemTime::now())) & 0xff_ffff,
    runs: AtomicU64::new(0),
});

/// An id that no other run has: `run_<milliseconds>_<suffix>`.
#[pyfunction]
pub(crate) fn new_run_id() -> String {
    let process = PROCESS.get();
    let number = process.runs.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = now.map_or(0, |since| since.as_millis());
    format!("run_{millis}_{:06x}{number:x}", process.mark)
}
