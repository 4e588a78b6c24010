//! Noticing that an object, or its class, has changed at all.

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::watch::{tag, version};

/// How an object was when it was last looked at closely.
#[pyclass(frozen, module = "nexus_core")]
pub(crate) struct Stamp {
    variables: AtomicU64,
    class: AtomicU64,
}

#[pymethods]
impl Stamp {
    #[new]
    fn new() -> Self {
        Self {
            variables: AtomicU64::new(0),
            class: AtomicU64::new(0),
        }
    }

    /// Whether no attribute of `instance` has been set since `renew`, nor one of
    /// its class. `variables` are those of the instance.
    fn holds(&self, instance: &Bound<'_, PyAny>, variables: &Bound<'_, PyDict>) -> bool {
        let (now, class) = (version(variables), tag(&instance.get_type()));
        now != 0
            && class != 0
            && now == self.variables.load(Ordering::Relaxed)
            && class == self.class.load(Ordering::Relaxed)
    }

    /// `instance` is as it should be.
    fn renew(&self, instance: &Bound<'_, PyAny>, variables: &Bound<'_, PyDict>) {
        self.class
            .store(tag(&instance.get_type()), Ordering::Relaxed);
        self.variables.store(version(variables), Ordering::Relaxed);
    }
}
