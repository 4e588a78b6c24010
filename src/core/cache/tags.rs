//! Entries by the labels that their user gave them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The tags of one entry; most have none.
pub(super) type Tags = Option<Box<[Arc<str>]>>;

#[derive(Default)]
pub(super) struct TagIndex {
    slots: HashMap<Arc<str>, HashSet<u32>>,
}

impl TagIndex {
    /// The tags, of which each text is kept once.
    pub(super) fn add(&mut self, slot: u32, tags: &[String]) -> Tags {
        if tags.is_empty() {
            return None;
        }
        let mut kept: Vec<Arc<str>> = Vec::with_capacity(tags.len());
        for tag in tags {
            let known = self.slots.get_key_value(tag.as_str());
            let tag = known.map_or_else(|| Arc::from(tag.as_str()), |(tag, _)| Arc::clone(tag));
            self.slots.entry(Arc::clone(&tag)).or_default().insert(slot);
            kept.push(tag);
        }
        Some(kept.into())
    }

    pub(super) fn remove(&mut self, slot: u32, tags: &Tags) {
        for tag in tags.iter().flatten() {
            if let Some(slots) = self.slots.get_mut(tag) {
                slots.remove(&slot);
                if slots.is_empty() {
                    self.slots.remove(tag);
                }
            }
        }
    }

    pub(super) fn slots(&self, tag: &str) -> Vec<u32> {
        let slots = self.slots.get(tag);
        slots.map_or_else(Vec::new, |slots| slots.iter().copied().collect())
    }
}
