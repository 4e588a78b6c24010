//! `TaskGraph`: graphs of plain Python callables.

// What is written on its classes and methods are Python docstrings, not Markdown.
#![allow(clippy::doc_markdown, clippy::doc_link_with_quotes)]

mod arguments;
mod builder;
mod compiled;
mod options;
mod plan;
mod program;
mod running;
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
