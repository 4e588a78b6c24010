//! `TaskGraph`: graphs of plain Python callables.

mod arguments;
mod builder;
mod compiled;
mod program;
mod stepper;
mod tokens;

use pyo3::prelude::*;

pub(crate) use tokens::CancellationToken;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<builder::TaskGraph>()?;
    module.add_class::<compiled::CompiledGraph>()?;
    module.add_class::<stepper::GraphStepper>()?;
    module.add_class::<tokens::Ref>()?;
    module.add_class::<tokens::Input>()?;
    module.add_class::<CancellationToken>()
}
