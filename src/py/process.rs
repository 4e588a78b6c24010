//! What the process uses, and what it may use.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::core::metrics::{limits, process};

/// By name; `None` for what this system does not tell, or what is not limited.
#[pyfunction(name = "_process")]
pub(crate) fn read_process(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let (seen, limits) = py.detach(|| (process(), limits()));
    let found = PyDict::new(py);
    let seconds = |time: Option<std::time::Duration>| time.map(|time| time.as_secs_f64());
    found.set_item("cpu_user_seconds", seconds(seen.user))?;
    found.set_item("cpu_system_seconds", seconds(seen.system))?;
    found.set_item("resident_bytes", seen.resident)?;
    found.set_item("peak_resident_bytes", seen.most_resident)?;
    found.set_item("virtual_bytes", seen.addressed)?;
    found.set_item("threads", seen.threads)?;
    found.set_item("open_files", seen.open_files)?;
    found.set_item("uptime_seconds", seen.age)?;
    found.set_item("cpus", seen.processors)?;
    found.set_item("cpu_limit", limits.cpus)?;
    found.set_item("memory_limit_bytes", limits.memory)?;
    found.set_item("limited_memory_used_bytes", limits.memory_used)?;
    Ok(found)
}
