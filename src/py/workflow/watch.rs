//! Noticing that a workflow was changed since it was compiled.
//!
//! Each dict that the plan was read from is remembered with its contents. The
//! interpreter stamps a dict with a new version at every change, so the usual check
//! is one comparison; only a dict with another stamp is compared entry by entry.
//! Since Python 3.13 every dict is: an attribute that is set where an object keeps
//! its own changes no stamp there.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyType};

#[cfg(not(Py_3_13))]
#[allow(deprecated)] // the stamp is there in every version that compiles this
pub(super) fn version(dict: &Bound<'_, PyDict>) -> u64 {
    // SAFETY: `dict` is a dict, whose struct starts like this in these versions.
    unsafe { (*dict.as_ptr().cast::<ffi::PyDictObject>()).ma_version_tag }
}

/// No stamp: every check compares entries.
#[cfg(Py_3_13)]
pub(super) fn version(_: &Bound<'_, PyDict>) -> u64 {
    0
}

/// Lists of keys that many dicts are watched for, by the address of the list, which
/// is nobody else's for as long as this holds the list.
pub(super) type KeyLists = HashMap<usize, (Py<PyList>, Arc<[Py<PyAny>]>)>;

enum Keys {
    /// All that the dict has, in its order.
    All(Box<[Py<PyAny>]>),
    /// Other keys may come and go.
    Selected(Arc<[Py<PyAny>]>),
}

/// A dict as it was when the plan was made.
pub(super) struct WatchedDict {
    dict: Py<PyDict>,
    version: AtomicU64,
    keys: Keys,
    /// What was there under each key.
    values: Box<[Option<Py<PyAny>>]>,
}

impl WatchedDict {
    /// Watches all entries of a dict, or only those under some keys.
    pub(super) fn new(
        dict: &Bound<'_, PyDict>,
        keys: Option<&Bound<'_, PyList>>,
        known: &mut KeyLists,
    ) -> PyResult<Self> {
        let (keys, values) = match keys {
            None => {
                let (keys, values): (Vec<_>, Vec<_>) = dict
                    .iter()
                    .map(|(key, value)| (key.unbind(), Some(value.unbind())))
                    .unzip();
                (Keys::All(keys.into()), values.into())
            }
            Some(list) => {
                let keys = match known.entry(list.as_ptr() as usize) {
                    Entry::Occupied(known) => Arc::clone(&known.get().1),
                    Entry::Vacant(place) => {
                        let keys: Vec<Py<PyAny>> = list.extract()?;
                        Arc::clone(&place.insert((list.clone().unbind(), keys.into())).1)
                    }
                };
                let values = keys
                    .iter()
                    .map(|key| Ok(dict.get_item(key)?.map(Bound::unbind)))
                    .collect::<PyResult<_>>()?;
                (Keys::Selected(keys), values)
            }
        };
        Ok(Self {
            dict: dict.clone().unbind(),
            version: AtomicU64::new(version(dict)),
            keys,
            values,
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
        match &self.keys {
            Keys::Selected(keys) => {
                for (key, expected) in keys.iter().zip(&self.values) {
                    if !is_same(dict.get_item(key)?, expected.as_ref()) {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            // The order of keys decides the order of results.
            Keys::All(keys) => Ok(dict.len() == keys.len()
                && dict.iter().zip(keys.iter().zip(&self.values)).all(
                    |((key, value), (name, expected))| {
                        key.is(name) && is_same(Some(value), expected.as_ref())
                    },
                )),
        }
    }

    pub(super) fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.dict)?;
        // Selected ones are names, which refer to nothing.
        if let Keys::All(keys) = &self.keys {
            keys.iter().try_for_each(|key| visit.call(key))?;
        }
        self.values.iter().try_for_each(|value| visit.call(value))
    }
}

fn is_same(found: Option<Bound<'_, PyAny>>, expected: Option<&Py<PyAny>>) -> bool {
    match (found, expected) {
        (Some(found), Some(expected)) => found.is(expected),
        (None, None) => true,
        _ => false,
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
            if !is_same(found, expected.as_ref()) {
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
