//! The thread pool of any Python program: `core::executor` with calls as tasks.

mod call;
mod completion;
mod exit;
mod future;
mod future_methods;
mod host;
mod life;
mod mapped;
mod pool;
mod seen;
mod submission;
mod waiting;

use pyo3::prelude::*;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<future::FutureBase>()?;
    module.add_class::<pool::ThreadPoolBase>()?;
    module.add_class::<mapped::MapResults>()?;
    module.add_function(wrap_pyfunction!(exit::finish_pools, module)?)?;
    module.add_function(wrap_pyfunction!(call::run_chunk, module)?)
}
