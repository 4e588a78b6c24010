//! What a cache counts.

use super::store::Cause;

/// What happened since the cache was made, exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub hits: u64,
    pub misses: u64,
    /// Entries under keys that were not there.
    pub insertions: u64,
    pub replaced: u64,
    pub evicted: u64,
    pub expired: u64,
    pub invalidated: u64,
}

impl Counts {
    pub(super) fn gone(&mut self, cause: Cause) {
        match cause {
            Cause::Size => self.evicted += 1,
            Cause::Expired => self.expired += 1,
            Cause::Explicit => self.invalidated += 1,
            Cause::Replaced => self.replaced += 1,
        }
    }
}

/// What a cache holds at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    pub entries: usize,
    pub weight: u64,
    /// Since the oldest entry was written, and on average, in nanoseconds.
    pub oldest: u64,
    pub mean_age: u64,
}
