//! `nexus_core._core`: registration only. The core itself knows nothing of Python.

// A panic has no place outside the tests: what is missing is an error.
#![cfg_attr(
    not(test),
    warn(
        clippy::expect_used,
        clippy::panic,
        clippy::todo,
        clippy::unimplemented,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

pub mod core;

#[cfg(feature = "python")]
mod allocator;
#[cfg(feature = "python")]
mod py;

#[cfg(feature = "python")]
#[global_allocator]
static ALLOCATOR: allocator::BeyondTheLimit = allocator::BeyondTheLimit;

#[cfg(feature = "python")]
#[pyo3::pymodule(gil_used = false)]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::py::register(module)
    }
}
