//! A histogram as `nexus_core.durations.Durations` takes it.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::core::metrics::Snapshot;

/// Its attributes by their names, in seconds.
pub(crate) fn durations<'py>(py: Python<'py>, seen: &Snapshot) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("count", seen.count)?;
    dict.set_item("total", seen.total.as_secs_f64())?;
    dict.set_item("mean", seen.mean().as_secs_f64())?;
    for (name, share) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)] {
        dict.set_item(name, seen.quantile(share).as_secs_f64())?;
    }
    dict.set_item("max", seen.longest.as_secs_f64())?;
    Ok(dict)
}
