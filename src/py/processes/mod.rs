//! What worker processes and their parent share.

mod mapping;

use pyo3::prelude::*;

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<mapping::PrivateMapping>()
}
