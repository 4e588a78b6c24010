//! Lists of entries from the most to the least recently used, linked through their slots.

/// No slot.
pub(super) const NIL: u32 = u32::MAX;

/// Which list an entry is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// Where entries begin. With plain LRU they stay here.
    Window,
    /// Entries that were admitted, and not used since.
    Probation,
    /// Entries that were used since they were admitted.
    Protected,
}

#[derive(Clone, Copy)]
struct Link {
    newer: u32,
    older: u32,
    segment: Segment,
}

#[derive(Clone, Copy)]
struct Ends {
    newest: u32,
    oldest: u32,
}

const EMPTY: Ends = Ends {
    newest: NIL,
    oldest: NIL,
};

pub(super) struct Lists {
    links: Vec<Link>,
    ends: [Ends; 3],
}

impl Lists {
    pub(super) const fn new() -> Self {
        Self {
            links: Vec::new(),
            ends: [EMPTY; 3],
        }
    }

    pub(super) fn segment(&self, slot: u32) -> Segment {
        self.links[slot as usize].segment
    }

    pub(super) fn newest(&self, segment: Segment) -> u32 {
        self.ends[segment as usize].newest
    }

    pub(super) fn oldest(&self, segment: Segment) -> u32 {
        self.ends[segment as usize].oldest
    }

    /// Puts a slot that is in no list at the newest end of one.
    pub(super) fn push(&mut self, slot: u32, segment: Segment) {
        let older = self.ends[segment as usize].newest;
        let link = Link {
            newer: NIL,
            older,
            segment,
        };
        if slot as usize == self.links.len() {
            self.links.push(link);
        } else {
            self.links[slot as usize] = link;
        }
        if older == NIL {
            self.ends[segment as usize].oldest = slot;
        } else {
            self.links[older as usize].newer = slot;
        }
        self.ends[segment as usize].newest = slot;
    }

    /// Takes a slot out of its list.
    pub(super) fn unlink(&mut self, slot: u32) {
        let Link {
            newer,
            older,
            segment,
        } = self.links[slot as usize];
        let ends = &mut self.ends[segment as usize];
        if newer == NIL {
            ends.newest = older;
        } else {
            self.links[newer as usize].older = older;
        }
        if older == NIL {
            ends.oldest = newer;
        } else {
            self.links[older as usize].newer = newer;
        }
    }

    /// Makes a slot the most recently used of its list.
    pub(super) fn refresh(&mut self, slot: u32) {
        let segment = self.segment(slot);
        if self.ends[segment as usize].newest != slot {
            self.unlink(slot);
            self.push(slot, segment);
        }
    }
}
