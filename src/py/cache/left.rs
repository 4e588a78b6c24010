//! What left a cache, on its way to the listener and to its end.

use pyo3::prelude::*;

use crate::core::cache::Gone;

type Entry = Gone<Py<PyAny>, Py<PyAny>>;

/// Most often nothing or one entry, for which nothing is allocated. Dropped where the cache
/// is not locked.
#[derive(Default)]
pub(super) struct Left {
    first: Option<Entry>,
    others: Vec<Entry>,
}

impl Left {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

impl Extend<Entry> for Left {
    #[inline]
    fn extend<I: IntoIterator<Item = Entry>>(&mut self, entries: I) {
        for entry in entries {
            if self.first.is_none() {
                self.first = Some(entry);
            } else {
                self.others.push(entry);
            }
        }
    }
}

impl IntoIterator for Left {
    type Item = Entry;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Entry>, std::vec::IntoIter<Entry>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.others)
    }
}
