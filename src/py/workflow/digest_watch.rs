//! Noticing that what a workflow's digest was made of has changed.
//!
//! The digest says all that decides a workflow's results, more than its plan is made
//! from: nested configuration, attributes of nodes, globals of their functions. What can
//! be changed of it is watched here, so that the digest is computed again only then.

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFrozenSet, PyList, PySet, PyString, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit};

use super::watch::{KeyLists, WatchedDict, tag, version};

/// A dict of which some entries say nothing.
struct PartOfDict {
    dict: Py<PyDict>,
    version: AtomicU64,
    ignored: Py<PyFrozenSet>,
    /// The others, in their order.
    entries: Vec<(Py<PyAny>, Py<PyAny>)>,
}

impl PartOfDict {
    fn new(dict: &Bound<'_, PyDict>, ignored: &Bound<'_, PyFrozenSet>) -> PyResult<Self> {
        let stamp = version(dict);
        let mut entries = Vec::with_capacity(dict.len());
        for (key, value) in dict {
            if !ignored.contains(&key)? {
                entries.push((key.unbind(), value.unbind()));
            }
        }
        Ok(Self {
            dict: dict.clone().unbind(),
            version: AtomicU64::new(stamp),
            ignored: ignored.clone().unbind(),
            entries,
        })
    }

    fn is_unchanged(&self, py: Python<'_>) -> PyResult<bool> {
        let dict = self.dict.bind(py);
        let now = version(dict);
        if now != 0 && now == self.version.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let ignored = self.ignored.bind(py);
        let mut expected = self.entries.iter();
        for (key, value) in dict {
            if ignored.contains(&key)? {
                continue;
            }
            let is_same = expected
                .next()
                .is_some_and(|(name, held)| key.is(name) && value.is(held));
            if !is_same {
                return Ok(false);
            }
        }
        if expected.next().is_some() {
            return Ok(false);
        }
        self.version.store(now, Ordering::Relaxed);
        Ok(true)
    }
}

/// What a digest was made of, as it was then.
#[pyclass(frozen, module = "nexus_core")]
pub(crate) struct DigestWatch {
    dicts: Vec<WatchedDict>,
    parts: Vec<PartOfDict>,
    lists: Vec<(Py<PyList>, Py<PyTuple>)>,
    sets: Vec<(Py<PySet>, Vec<Py<PyAny>>)>,
    classes: Vec<(Py<PyType>, u64)>,
    attributes: Vec<Attribute>,
}

/// An attribute of a function or of a cell, which is in no dict.
#[derive(FromPyObject)]
struct Attribute(Py<PyAny>, Py<PyString>, Py<PyAny>);

impl Attribute {
    fn is_unchanged(&self, py: Python<'_>) -> PyResult<bool> {
        match self.0.bind(py).getattr(&self.1) {
            Ok(now) => Ok(now.is(&self.2)),
            // A cell that is not bound yet.
            Err(error) if error.is_instance_of::<PyValueError>(py) => Ok(self.2.is_none(py)),
            Err(error) => Err(error),
        }
    }
}

type Parts<'py> = Vec<(Bound<'py, PyDict>, Bound<'py, PyFrozenSet>)>;
type Selected<'py> = Vec<(Bound<'py, PyDict>, Option<Bound<'py, PyList>>)>;

#[pymethods]
impl DigestWatch {
    /// `dicts`: pairs of a dict and the keys that matter, `None` for all; `parts`: pairs of
    /// a dict and the keys that do not; `sets`: of strings and numbers only;
    /// `attributes`: objects with the name of an attribute and what it is.
    #[new]
    #[allow(clippy::needless_pass_by_value)] // PyO3 extracts them
    fn new(
        dicts: Selected<'_>,
        parts: Parts<'_>,
        lists: Vec<Bound<'_, PyList>>,
        sets: Vec<Bound<'_, PySet>>,
        classes: Vec<Bound<'_, PyType>>,
        attributes: Vec<Attribute>,
    ) -> PyResult<Self> {
        let mut known = KeyLists::new();
        Ok(Self {
            dicts: dicts
                .iter()
                .map(|(dict, keys)| WatchedDict::new(dict, keys.as_ref(), &mut known))
                .collect::<PyResult<_>>()?,
            parts: parts
                .iter()
                .map(|(dict, ignored)| PartOfDict::new(dict, ignored))
                .collect::<PyResult<_>>()?,
            lists: lists
                .into_iter()
                .map(|list| {
                    let items = list.to_tuple().unbind();
                    (list.unbind(), items)
                })
                .collect(),
            sets: sets
                .into_iter()
                .map(|set| {
                    let elements = set.iter().map(Bound::unbind).collect();
                    (set.unbind(), elements)
                })
                .collect(),
            classes: classes
                .into_iter()
                .map(|class| {
                    // A class that nothing was looked up on has no tag.
                    let _ = class.getattr_opt("__module__")?;
                    let tag = tag(&class);
                    Ok((class.unbind(), tag))
                })
                .collect::<PyResult<_>>()?,
            attributes,
        })
    }

    /// Whether all of it is as it was. A class without a tag may have changed.
    pub(super) fn is_current(&self, py: Python<'_>) -> PyResult<bool> {
        for (class, seen) in &self.classes {
            if *seen == 0 || tag(class.bind(py)) != *seen {
                return Ok(false);
            }
        }
        for attribute in &self.attributes {
            if !attribute.is_unchanged(py)? {
                return Ok(false);
            }
        }
        for dict in &self.dicts {
            if !dict.is_unchanged(py)? {
                return Ok(false);
            }
        }
        for part in &self.parts {
            if !part.is_unchanged(py)? {
                return Ok(false);
            }
        }
        for (list, seen) in &self.lists {
            let (list, seen) = (list.bind(py), seen.bind(py));
            if list.len() != seen.len()
                || !list
                    .iter()
                    .zip(seen.iter_borrowed())
                    .all(|(now, then)| now.is(&*then))
            {
                return Ok(false);
            }
        }
        for (set, seen) in &self.sets {
            let set = set.bind(py);
            // Equal ones need not be the same: `1`, `1.0` and `True` are.
            if set.len() != seen.len() || !set.iter().zip(seen).all(|(now, then)| now.is(then)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.dicts
            .iter()
            .try_for_each(|dict| dict.traverse(&visit))?;
        for part in &self.parts {
            visit.call(&part.dict)?;
            for (key, value) in &part.entries {
                visit.call(key)?;
                visit.call(value)?;
            }
        }
        for (list, items) in &self.lists {
            visit.call(list)?;
            visit.call(items)?;
        }
        for (set, elements) in &self.sets {
            visit.call(set)?;
            elements
                .iter()
                .try_for_each(|element| visit.call(element))?;
        }
        for attribute in &self.attributes {
            visit.call(&attribute.0)?;
            visit.call(&attribute.2)?;
        }
        self.classes
            .iter()
            .try_for_each(|(class, _)| visit.call(class))
    }
}
