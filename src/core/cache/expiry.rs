//! Which entry expires next.

use std::collections::BTreeSet;

use super::{NEVER, Nanos};

/// Entries that expire, by when they were last thought to.
///
/// An entry that is used moves its end further away; it is looked at, and put back with
/// its new end, when the old one comes.
#[derive(Default)]
pub(super) struct Expiry {
    queue: BTreeSet<(Nanos, u32)>,
}

impl Expiry {
    pub(super) fn add(&mut self, at: Nanos, slot: u32) {
        if at != NEVER {
            self.queue.insert((at, slot));
        }
    }

    pub(super) fn remove(&mut self, at: Nanos, slot: u32) {
        if at != NEVER {
            self.queue.remove(&(at, slot));
        }
    }

    /// The slot that may have expired by now.
    pub(super) fn due(&self, now: Nanos) -> Option<u32> {
        self.queue
            .first()
            .filter(|(at, _)| *at <= now)
            .map(|(_, slot)| *slot)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
