//! Python bindings: thin, frozen classes over `crate::core`.

mod build;
mod cache;
mod clients;
mod connections;
mod durations;
mod engine;
mod errors;
mod failures;
mod grouping;
mod keys;
mod process;
mod processes;
mod replay;
mod task_graph;
mod thread_pool;
mod tracing;
mod values;
mod workflow;

use pyo3::prelude::*;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(build::build_info, module)?)?;
    module.add_function(wrap_pyfunction!(engine::close_workers, module)?)?;
    module.add_function(wrap_pyfunction!(grouping::grouped, module)?)?;
    module.add_class::<clients::Client>()?;
    module.add_function(wrap_pyfunction!(clients::current_client, module)?)?;
    module.add_class::<clients::Noticing>()?;
    module.add_class::<engine::Places>()?;
    module.add_class::<engine::LoopMailbox>()?;
    module.add_function(wrap_pyfunction!(engine::collection, module)?)?;
    cache::register(module)?;
    connections::register(module)?;
    module.add_function(wrap_pyfunction!(keys::digest, module)?)?;
    module.add_function(wrap_pyfunction!(keys::run_key::run_key, module)?)?;
    module.add_function(wrap_pyfunction!(keys::run_key::is_apart, module)?)?;
    task_graph::register(module)?;
    thread_pool::register(module)?;
    module.add_function(wrap_pyfunction!(process::read_process, module)?)?;
    module.add_class::<replay::ReplayedLine>()?;
    processes::register(module)?;
    tracing::register(module)?;
    workflow::register(module)?;
    module.add_function(wrap_pyfunction!(values::copies::measured_copy, module)?)?;
    module.add_function(wrap_pyfunction!(values::copies::private_copy, module)?)?;
    values::register_testing(module)?;
    // It would list private names too; what is public, `nexus_core.__all__` says.
    module.delattr("__all__")
}
