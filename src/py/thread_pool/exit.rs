//! What is queued when the interpreter exits is still run, as the standard
//! library's executors do.

use std::sync::{Arc, Weak};

use pyo3::prelude::*;

use crate::core::executor::{Ending, Executor};
use crate::core::locks::Mutex;
use crate::core::threads::ForkLocal;

use super::host::Pool;
use super::waiting::SIGNAL_INTERVAL;

type Pools = Mutex<Vec<Weak<Executor<Pool>>>>;

static POOLS: ForkLocal<Pools> = ForkLocal::new(Pools::default);

pub(super) fn remember(pool: &Arc<Executor<Pool>>) {
    let mut pools = POOLS.get().lock();
    pools.retain(|pool| pool.strong_count() > 0);
    pools.push(Arc::downgrade(pool));
}

/// Has every pool finish, and waits for that. Called once, before the interpreter
/// goes down.
#[pyfunction(name = "_finish_pools")]
pub(super) fn finish_pools(py: Python<'_>) -> PyResult<()> {
    let pools: Vec<_> = {
        let pools = POOLS.get().lock();
        pools.iter().filter_map(Weak::upgrade).collect()
    };
    for pool in &pools {
        pool.end(Ending::Exit);
    }
    for pool in &pools {
        while py.detach(|| pool.join(SIGNAL_INTERVAL)).threads > 0 {
            py.check_signals()?;
        }
    }
    Ok(())
}
