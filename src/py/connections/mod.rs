//! Pools of connections.

// What is written on its classes and methods are Python docstrings, not Markdown.
#![allow(clippy::doc_markdown, clippy::doc_link_with_quotes)]

mod arguments;
mod attendant;
mod checkout;
mod dropped;
mod figures;
mod hooks;
mod item;
mod loop_driver;
mod member;
mod pool;
mod returning;
mod rotation;
mod waiting;

use std::time::Duration;

use pyo3::prelude::*;

/// How long the interpreter's exit waits for threads that are idle.
const CLOSE_GRACE: Duration = Duration::from_millis(500);

/// Sends the threads of all pools home. Called once, when the interpreter exits.
#[pyfunction(name = "_dismiss_pools")]
fn dismiss_pools(py: Python<'_>) {
    py.detach(|| crate::core::connections::dismiss_crews(CLOSE_GRACE));
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(dismiss_pools, module)?)?;
    module.add_class::<rotation::Rotation>()?;
    module.add_class::<pool::NativeConnectionPool>()?;
    module.add_class::<checkout::Checkout>()?;
    module.add_class::<loop_driver::Onlooker>()?;
    module.add_class::<loop_driver::PoolTask>()
}
