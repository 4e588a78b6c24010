//! The entries, in one process and in its forked children.

use pyo3::prelude::*;

use crate::core::cache::{Cache, Limits, Store};
#[cfg(Py_GIL_DISABLED)]
use crate::core::threads::PerProcess;

pub(super) type Core = Cache<Py<PyAny>, Py<PyAny>>;

/// Whoever forks holds the interpreter's lock, and so does whoever holds the cache's: a
/// child finds it free, and the entries whole. Without the interpreter's lock nobody can
/// promise that, and a child begins with an empty cache.
pub(super) struct Home {
    #[cfg(not(Py_GIL_DISABLED))]
    core: Core,
    #[cfg(Py_GIL_DISABLED)]
    core: PerProcess<Core>,
    #[cfg(Py_GIL_DISABLED)]
    limits: Limits,
    #[cfg(Py_GIL_DISABLED)]
    what_if: Option<f64>,
}

fn empty(limits: Limits, what_if: Option<f64>) -> Core {
    let store = Store::new(limits);
    Cache::new(match what_if {
        Some(share) => store.asking_what_if(share),
        None => store,
    })
}

impl Home {
    pub(super) fn new(limits: Limits, what_if: Option<f64>) -> Self {
        let core = empty(limits, what_if);
        #[cfg(not(Py_GIL_DISABLED))]
        return Self { core };
        #[cfg(Py_GIL_DISABLED)]
        return Self {
            core: PerProcess::new(core),
            limits,
            what_if,
        };
    }

    #[inline]
    pub(super) fn core(&self) -> &Core {
        #[cfg(not(Py_GIL_DISABLED))]
        return &self.core;
        #[cfg(Py_GIL_DISABLED)]
        return self.core.get(|| empty(self.limits, self.what_if));
    }
}
