//! Noticing that a set allows something else than when the plan was made.
//!
//! A set has no stamp that would tell of a change. So what programs were made from is
//! looked up again at every check: the few names that matter to them. Where everything
//! in a set matters, that is compared whenever the set's table has changed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

/// A name, and whether it was in the set.
#[derive(FromPyObject)]
pub(super) struct Looked(Py<PyString>, bool);

/// Lists of names that many sets are watched for, by the address of the list, which is
/// nobody else's for as long as this holds the list.
pub(super) type NameLists = HashMap<usize, (Py<PyList>, Names)>;

type Names = Arc<[Looked]>;

/// A set or frozenset; names that are looked up each time; and all that it had, if all of
/// it matters.
pub(super) type SetAndNames<'py> = (
    Bound<'py, PyAny>,
    Bound<'py, PyList>,
    Option<Bound<'py, PyList>>,
);

/// A set, as it was when the plan was made.
pub(super) struct WatchedSet {
    set: Py<PyAny>,
    names: Names,
    whole: Option<Whole>,
}

/// All that a set had.
struct Whole {
    names: Names,
    /// As the set was when it was last seen to have that, and nothing else.
    seen: [AtomicUsize; 4],
}

impl WatchedSet {
    pub(super) fn new(
        (set, names, whole): SetAndNames<'_>,
        known: &mut NameLists,
    ) -> PyResult<Self> {
        // SAFETY: attached; a look at the type of a live object.
        if unsafe { ffi::PyAnySet_Check(set.as_ptr()) } == 0 {
            let kind = set.get_type().name()?;
            return Err(PyTypeError::new_err(format!("a {kind} is no set")));
        }
        let mut names_of = |list: Bound<'_, PyList>| -> PyResult<Names> {
            Ok(match known.entry(list.as_ptr() as usize) {
                Entry::Occupied(known) => Arc::clone(&known.get().1),
                Entry::Vacant(place) => {
                    let looked: Vec<Looked> = list.extract()?;
                    Arc::clone(&place.insert((list.unbind(), looked.into())).1)
                }
            })
        };
        Ok(Self {
            names: names_of(names)?,
            whole: match whole {
                None => None,
                Some(list) => Some(Whole {
                    names: names_of(list)?,
                    seen: Default::default(),
                }),
            },
            set: set.unbind(),
        })
    }

    #[inline]
    pub(super) fn is_unchanged(&self, py: Python<'_>) -> PyResult<bool> {
        let set = self.set.bind(py);
        if !has(set, &self.names)? {
            return Ok(false);
        }
        match &self.whole {
            None => Ok(true),
            Some(whole) => whole.is_unchanged(set),
        }
    }

    pub(super) fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        // Names refer to nothing.
        visit.call(&self.set)
    }
}

impl Whole {
    #[inline]
    fn is_unchanged(&self, set: &Bound<'_, PyAny>) -> PyResult<bool> {
        let now = state(set);
        let seen = || self.seen.iter().map(|seen| seen.load(Ordering::Relaxed));
        if now.is_some_and(|now| seen().eq(now)) {
            return Ok(true);
        }
        // SAFETY: attached; it was seen to be a set when this was made.
        let size = unsafe { ffi::PySet_Size(set.as_ptr()) };
        if size.cast_unsigned() != self.names.len() || !has(set, &self.names)? {
            return Ok(false);
        }
        for (seen, now) in self.seen.iter().zip(now.into_iter().flatten()) {
            seen.store(now, Ordering::Relaxed);
        }
        Ok(true)
    }
}

/// Whether exactly those names are in a set that were.
#[inline]
fn has(set: &Bound<'_, PyAny>, names: &[Looked]) -> PyResult<bool> {
    for Looked(name, was_there) in names {
        // SAFETY: attached; a set, which was seen to be one, and a live string.
        let found = unsafe { ffi::PySet_Contains(set.as_ptr(), name.as_ptr()) };
        if found < 0 {
            return Err(PyErr::fetch(set.py()));
        }
        if (found == 1) != *was_there {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What changes when elements do: one that is added takes a place that was never taken,
/// until the table is another one. Two such changes between two checks might bring back
/// the address and all counts; the names that matter are looked up whatever this says.
#[cfg(not(Py_GIL_DISABLED))]
fn state(set: &Bound<'_, PyAny>) -> Option<[usize; 4]> {
    // SAFETY: attached; it was seen to be a set, whose struct starts like this.
    let set = unsafe { &*set.as_ptr().cast::<ffi::PySetObject>() };
    let counts = [set.fill, set.used, set.mask].map(ffi::Py_ssize_t::cast_unsigned);
    // A small table is part of the set, and filled again once it was cleared.
    let is_apart = set.mask >= ffi::PySet_MINSIZE.cast_signed();
    is_apart.then_some([counts[0], counts[1], counts[2], set.table as usize])
}

/// Other threads may be changing it: every check compares elements.
#[cfg(Py_GIL_DISABLED)]
fn state(_: &Bound<'_, PyAny>) -> Option<[usize; 4]> {
    None
}
