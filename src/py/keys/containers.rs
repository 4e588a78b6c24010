//! Lists, tuples, sets and dicts.
//!
//! Each is read as it is at one moment, since what is inside may run Python
//! code that changes it.

use super::{
    refusal::{Told, key_segment},
    texts::units_of,
    walk::{Walk, entries},
};
use crate::{
    core::keys::{Encoder, Tag},
    py::values::Units,
};
use pyo3::{
    prelude::*,
    types::{PyDict, PyList, PyString, PyTuple},
};
use std::cmp::Ordering;

type Entry<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);

impl<'py> Walk<'_, 'py> {
    #[inline(never)]
    pub(super) fn list(&mut self, list: &Bound<'py, PyAny>, into: &mut Encoder) -> Told {
        let items = list.cast_exact::<PyList>().map_err(PyErr::from)?.to_tuple();
        self.items(list, &items, Tag::List, into)
    }

    #[inline(never)]
    pub(super) fn tuple(&mut self, tuple: &Bound<'py, PyAny>, into: &mut Encoder) -> Told {
        let items = tuple.cast_exact::<PyTuple>().map_err(PyErr::from)?;
        self.items(tuple, items, Tag::Tuple, into)
    }

    fn items(
        &mut self,
        container: &Bound<'py, PyAny>,
        items: &Bound<'py, PyTuple>,
        tag: Tag,
        into: &mut Encoder,
    ) -> Told {
        into.open(tag, items.len());
        for (index, item) in items.iter_borrowed().enumerate() {
            self.value(&item, into)
                .map_err(|refusal| refusal.inside(container, format!("[{index}]")))?;
        }
        Ok(())
    }

    #[inline(never)]
    pub(super) fn set(&mut self, set: &Bound<'py, PyAny>, tag: Tag, into: &mut Encoder) -> Told {
        let items: Vec<_> = set.try_iter()?.collect::<PyResult<_>>()?;
        let mut told = Vec::with_capacity(items.len());
        let mut own = Encoder::new();
        for item in &items {
            self.value(item, &mut own)
                .map_err(|refusal| refusal.inside(set, key_segment(item)))?;
            told.push(own.take_entry());
        }
        into.unordered(tag, &mut told);
        Ok(())
    }

    #[inline(never)]
    pub(super) fn dict(&mut self, dict: &Bound<'py, PyAny>, into: &mut Encoder) -> Told {
        let entries = entries(dict.cast_exact::<PyDict>().map_err(PyErr::from)?);
        if self.keeps_order {
            return self.ordered_dict(dict, &entries, into);
        }
        if entries
            .iter()
            .all(|(key, _)| key.is_exact_instance_of::<PyString>())
        {
            return self.text_dict(dict, entries, into);
        }
        let mut told = Vec::with_capacity(entries.len());
        let mut own = Encoder::new();
        for (key, value) in &entries {
            self.value(key, &mut own)
                .map_err(|refusal| refusal.inside(dict, ".keys()".to_owned()))?;
            self.value(value, &mut own)
                .map_err(|refusal| refusal.inside(dict, key_segment(key)))?;
            told.push(own.take_entry());
        }
        into.unordered(Tag::Dict, &mut told);
        Ok(())
    }

    /// A dict, its entries as they come.
    #[inline(never)]
    fn ordered_dict(
        &mut self,
        dict: &Bound<'py, PyAny>,
        entries: &[Entry<'py>],
        into: &mut Encoder,
    ) -> Told {
        into.open(Tag::Dict, entries.len());
        for (key, value) in entries {
            self.value(key, into)
                .map_err(|refusal| refusal.inside(dict, ".keys()".to_owned()))?;
            self.value(value, into)
                .map_err(|refusal| refusal.inside(dict, key_segment(key)))?;
        }
        Ok(())
    }

    /// A dict with nothing but text for keys.
    #[inline(never)]
    fn text_dict(
        &mut self,
        dict: &Bound<'py, PyAny>,
        mut entries: Vec<Entry<'py>>,
        into: &mut Encoder,
    ) -> Told {
        // Looked at before the order is made: comparing must not fail.
        for (key, _) in &entries {
            units_of(key)?;
        }
        let in_order =
            |(one, _): &Entry<'py>, (other, _): &Entry<'py>| match (units_of(one), units_of(other))
            {
                (Ok(one), Ok(other)) => compare(one, other),
                _ => Ordering::Equal,
            };
        if !entries.is_sorted_by(|one, other| in_order(one, other).is_le()) {
            entries.sort_unstable_by(in_order);
        }
        into.open(Tag::TextDict, entries.len());
        for (key, value) in &entries {
            self.text(key, into)?;
            self.value(value, into)
                .map_err(|refusal| refusal.inside(dict, key_segment(key)))?;
        }
        Ok(())
    }
}

/// The order of two texts by their code points.
fn compare(one: Units<'_>, other: Units<'_>) -> Ordering {
    match (one, other) {
        (Units::One(one), Units::One(other)) => one.cmp(other),
        (Units::Two(one), Units::Two(other)) => one.cmp(other),
        (Units::Four(one), Units::Four(other)) => one.cmp(other),
        (one, other) => points(one).cmp(points(other)),
    }
}

fn points(units: Units<'_>) -> Box<dyn Iterator<Item = u32> + '_> {
    match units {
        Units::One(units) => Box::new(units.iter().copied().map(u32::from)),
        Units::Two(units) => Box::new(units.iter().copied().map(u32::from)),
        Units::Four(units) => Box::new(units.iter().copied()),
    }
}
