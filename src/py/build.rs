//! How this extension was built.

use pyo3::prelude::*;
use pyo3::types::PyDict;

/// By name, for people who wonder why it is slow.
#[pyfunction(name = "_build_info")]
pub(crate) fn build_info(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let features: Vec<&str> = [("python", cfg!(feature = "python")), ("loom", cfg!(loom))]
        .into_iter()
        .filter_map(|(name, has)| has.then_some(name))
        .collect();
    let found = PyDict::new(py);
    found.set_item("version", env!("CARGO_PKG_VERSION"))?;
    found.set_item("profile", env!("NEXUS_CORE_PROFILE"))?;
    found.set_item("opt_level", env!("NEXUS_CORE_OPT_LEVEL"))?;
    found.set_item("debug_assertions", cfg!(debug_assertions))?;
    found.set_item("features", features)?;
    found.set_item("free_threaded", cfg!(Py_GIL_DISABLED))?;
    found.set_item("target", env!("NEXUS_CORE_TARGET"))?;
    found.set_item("compiler", env!("NEXUS_CORE_COMPILER"))?;
    Ok(found)
}
