//! Pools of connections.

mod arguments;
mod item;
mod rotation;

use pyo3::prelude::*;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<rotation::Rotation>()
}
