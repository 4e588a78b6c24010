//! Noticing that a workflow was changed since it was compiled.
//!
//! Each dict that the plan was read from is remembered with its contents. The
//! interpreter stamps a dict with a new version at every change (until Python
//! 3.14), so the usual check is one comparison; only a dict with another stamp
//! is compared entry by entry.

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};

#[cfg(not(Py_3_14))]
#[allow(deprecated)] // the stamp is there in every version that compiles this
pub(super) fn version(dict: &Bound<'_, PyDict>) -> u64 {
    // SAFETY: `dict` is a dict, whose struct starts like this in these versions.
    unsafe { (*dict.as_ptr().cast::<ffi::PyDictObject>()).ma_version_tag }
}

/// No stamp: every check compares entries.
#[cfg(Py_3_14)]
pub(super) fn version(_: &Bound<'_, PyDict>) -> u64 {
    0
}

/// A dict as it was when the plan was made.
pub(super) struct WatchedDict {
    dict: Py<PyDict>,
    version: AtomicU64,
    entries: Vec<(Py<PyAny>, Option<Py<PyAny>>)>,
    /// Whether other keys may come and go.
    selected_only: bool,
}

impl WatchedDict {
    /// Watches all entries of `dict`, or only those under `keys`.
    pub(super) fn new(
        dict: &Bound<'_, PyDict>,
        keys: Option<&[Bound<'_, PyAny>]>,
    ) -> PyResult<Self> {
        let entries = match keys {
            None => dict
                .iter()
                .map(|(key, value)| (key.unbind(), Some(value.unbind())))
                .collect(),
            Some(keys) => keys
                .iter()
                .map(|key| Ok((key.clone().unbind(), dict.get_item(key)?.map(Bound::unbind))))
                .collect::<PyResult<_>>()?,
        };
        Ok(Self {
            dict: dict.clone().unbind(),
            version: AtomicU64::new(version(dict)),
            entries,
            selected_only: keys.is_some(),
        })
    }

    #[inline]
    pub(super) fn is_unchanged(&self, py: Python<'_>) -> PyResult<bool> {
        let now = version(self.dict.bind(py));
        if now != 0 && now == self.version.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let unchanged = self.compare(py)?;
        if unchanged {
            self.version.store(now, Ordering::Relaxed);
        }
        Ok(unchanged)
    }

    #[cold]
    fn compare(&self, py: Python<'_>) -> PyResult<bool> {
        let dict = self.dict.bind(py);
        if !self.selected_only && dict.len() != self.entries.len() {
            return Ok(false);
        }
        for (key, expected) in &self.entries {
            let found = dict.get_item(key)?;
            let same = match (&found, expected) {
                (Some(found), Some(expected)) => found.is(expected),
                (None, None) => true,
                _ => false,
            };
            if !same {
                return Ok(false);
            }
        }
        if self.selected_only {
            return Ok(true);
        }
        // The order of keys decides the order of results.
        Ok(dict
            .iter()
            .zip(&self.entries)
            .all(|((key, _), (expected, _))| key.is(expected)))
    }

    pub(super) fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.dict)?;
        for (key, value) in &self.entries {
            visit.call(key)?;
            visit.call(value)?;
        }
        Ok(())
    }
}

/// A class whose methods must still be those that the plan was made for.
pub(super) struct WatchedClass {
    class: Py<PyType>,
    tag: AtomicU64,
    methods: Vec<(Py<PyString>, Option<Py<PyAny>>)>,
}

pub(super) fn tag(class: &Bound<'_, PyType>) -> u64 {
    // SAFETY: `class` is a type; the field is plain data.
    let tag = unsafe { (*class.as_type_ptr()).tp_version_tag };
    u64::from(tag)
}

impl WatchedClass {
    pub(super) fn new(class: &Bound<'_, PyType>, names: &[Bound<'_, PyString>]) -> PyResult<Self> {
        let methods = names
            .iter()
            .map(|name| {
                let method = class.getattr_opt(name)?.map(Bound::unbind);
                Ok((name.clone().unbind(), method))
            })
            .collect::<PyResult<_>>()?;
        Ok(Self {
            class: class.clone().unbind(),
            tag: AtomicU64::new(tag(class)),
            methods,
        })
    }

    #[inline]
    pub(super) fn is_unchanged(&self, py: Python<'_>) -> PyResult<bool> {
        let class = self.class.bind(py);
        let now = tag(class);
        if now != 0 && now == self.tag.load(Ordering::Relaxed) {
            return Ok(true);
        }
        for (name, expected) in &self.methods {
            let found = class.getattr_opt(name)?;
            let same = match (&found, expected) {
                (Some(found), Some(expected)) => found.is(expected),
                (None, None) => true,
                _ => false,
            };
            if !same {
                return Ok(false);
            }
        }
        self.tag.store(tag(class), Ordering::Relaxed);
        Ok(true)
    }

    pub(super) fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.class)?;
        self.methods
            .iter()
            .try_for_each(|(_, method)| visit.call(method))
    }
}
