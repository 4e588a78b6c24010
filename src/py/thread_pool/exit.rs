//! What is queued when the interpreter exits is still run, as the standard
//! library's executors do; what comes later is refused.

use std::sync::{Arc, Weak};

use pyo3::prelude::*;

use crate::core::executor::{Ending, Executor};
use crate::core::locks::Mutex;
use crate::core::threads::ForkLocal;

use super::host::Pool;
use super::waiting::SIGNAL_INTERVAL;

#[derive(Default)]
struct Pools {
    known: Vec<Weak<Executor<Pool>>>,
    /// They have been told to finish.
    is_exiting: bool,
}

static POOLS: ForkLocal<Mutex<Pools>> = ForkLocal::new(Mutex::default);

pub(super) fn remember(pool: &Arc<Executor<Pool>>) {
    let is_exiting = {
        let mut pools = POOLS.get().lock();
        pools.known.retain(|pool| pool.strong_count() > 0);
        pools.known.push(Arc::downgrade(pool));
        pools.is_exiting
    };
    if is_exiting {
        // Nobody would wait for what it is given.
        pool.end(Ending::Exit);
    }
}

/// Has every pool finish, and waits for that. Called once, before the interpreter
/// goes down.
#[pyfunction(name = "_finish_pools")]
pub(super) fn finish_pools(py: Python<'_>) -> PyResult<()> {
    let pools: Vec<_> = {
        let mut pools = POOLS.get().lock();
        pools.is_exiting = true;
        pools.known.iter().filter_map(Weak::upgrade).collect()
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
