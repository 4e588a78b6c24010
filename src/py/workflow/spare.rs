//! The builtins of a code node's namespace: new to every execution, without
//! being copied for each.
//!
//! The dict that an execution used may serve the next one if it is as good as
//! new: nobody else refers to it any more, and its version stamp says that
//! nothing in it was ever changed. Otherwise, and where Python keeps no stamp,
//! the next execution gets a new copy.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::core::locks::Mutex;

use super::watch::version;

pub(super) struct Builtins {
    template: Py<PyDict>,
    /// The template is the interpreter's own dict, which may change.
    is_live: bool,
    spare: Mutex<Option<Pristine>>,
}

/// A copy of the template that has not been changed.
struct Pristine {
    dict: Py<PyDict>,
    version: u64,
}

/// Builtins lent to one execution.
pub(super) struct Lent<'py> {
    pub(super) dict: Bound<'py, PyDict>,
    version: u64,
}

impl Builtins {
    pub(super) fn new(template: Py<PyDict>, is_live: bool) -> Self {
        Self {
            template,
            is_live,
            spare: Mutex::new(None),
        }
    }

    pub(super) fn lend<'py>(&self, py: Python<'py>) -> PyResult<Lent<'py>> {
        let spare = self.spare.lock().take();
        if let Some(spare) = spare {
            let dict = spare.dict.into_bound(py);
            if is_pristine(&dict, spare.version) {
                return Ok(Lent {
                    dict,
                    version: spare.version,
                });
            }
        }
        let dict = self.template.bind(py).copy()?;
        let version = version(&dict);
        Ok(Lent { dict, version })
    }

    /// Keeps what was lent for the next execution if it is as good as new. The
    /// namespace that held it must be gone.
    pub(super) fn take_back(&self, lent: Lent<'_>) {
        if !self.is_live && is_pristine(&lent.dict, lent.version) {
            let pristine = Pristine {
                dict: lent.dict.unbind(),
                version: lent.version,
            };
            let replaced = self.spare.lock().replace(pristine);
            drop(replaced);
        }
    }

    pub(super) fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.template)
    }
}

#[cfg(not(Py_GIL_DISABLED))]
fn is_pristine(dict: &Bound<'_, PyDict>, expected: u64) -> bool {
    // SAFETY: attached; a look at the count of a live object.
    let owners = unsafe { ffi::Py_REFCNT(dict.as_ptr()) };
    expected != 0 && owners == 1 && version(dict) == expected
}

/// Counts of other threads are not seen here.
#[cfg(Py_GIL_DISABLED)]
fn is_pristine(_: &Bound<'_, PyDict>, _: u64) -> bool {
    false
}
