//! What a caller may say about a run, checked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::plan::Plan;
use super::tokens::CancelState;

pub(super) struct RunOptions {
    /// Nodes that run at once, at the most.
    pub(super) limit: usize,
    /// As given, in seconds.
    pub(super) timeout: Option<f64>,
    pub(super) deadline: Option<Instant>,
    /// Whether each node's result is wanted; all are where nothing was said.
    pub(super) keep: Option<Vec<bool>>,
    pub(super) cancel: Option<Arc<CancelState>>,
    /// Every node is timed.
    pub(super) measure: bool,
}

/// How many nodes run at once unless the caller says otherwise: what the
/// standard library's thread pool uses.
fn default_concurrency() -> usize {
    // Asking reads several files.
    static CORES: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    let cores = CORES
        .get_or_init(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    (cores + 4).min(32)
}

pub(super) fn concurrency(given: Option<i64>) -> PyResult<usize> {
    let Some(limit) = given else {
        return Ok(default_concurrency());
    };
    match usize::try_from(limit) {
        Ok(limit @ 1..) => Ok(limit),
        _ => Err(PyValueError::new_err(format!(
            "max_concurrency must be at least 1, got {limit}"
        ))),
    }
}

pub(super) fn deadline(timeout: Option<f64>) -> PyResult<Option<Instant>> {
    let Some(seconds) = timeout else {
        return Ok(None);
    };
    if seconds.is_nan() || seconds <= 0.0 {
        return Err(PyValueError::new_err(format!(
            "timeout must be a positive number of seconds, got {seconds}"
        )));
    }
    // More than the clock can express is no limit.
    Ok(Duration::try_from_secs_f64(seconds)
        .ok()
        .and_then(|limit| Instant::now().checked_add(limit)))
}

/// Whether each node's result is wanted, nodes in topological order.
pub(super) fn selected(plan: &Plan, names: &Bound<'_, PyAny>) -> PyResult<Vec<bool>> {
    if names.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err(format!(
            "outputs must be a list of node names, got the string {}",
            names.repr()?
        )));
    }
    let mut keep = vec![false; plan.names.len()];
    for name in names.try_iter()? {
        keep[plan.number(&name?)? as usize] = true;
    }
    Ok(keep)
}
