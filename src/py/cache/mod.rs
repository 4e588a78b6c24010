//! A cache of Python objects.

// What is written on its classes and methods are Python docstrings, not Markdown.
#![allow(clippy::doc_markdown, clippy::doc_link_with_quotes)]

mod arguments;
mod call;
mod flight;
mod home;
mod keys;
mod left;
mod load;
mod loading;
mod mapping;
mod native;
mod weigh;
mod what_if;

use pyo3::prelude::*;

pub(crate) use self::load::Load;
pub(crate) use self::native::NativeCache;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<native::NativeCache>()?;
    module.add_class::<call::CachedCall>()?;
    module.add_class::<load::Load>()
}
