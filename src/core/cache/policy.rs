//! What stays and what goes: W-TinyLFU, or plain LRU.
//!
//! New entries begin in a small window. What falls out of it is admitted to the rest only
//! in place of something that was seen less often; of what is there, four fifths are
//! protected once they were used again. This keeps a scan from washing out what is used,
//! and is the policy of Caffeine and of moka.

use super::lists::{NIL, Segment};
use super::store::{Cause, Gone, Place, Policy, Store};

/// The window's share of the whole.
const WINDOW_PARTS: u64 = 100;

fn window_limit(most: u64) -> u64 {
    (most / WINDOW_PARTS).max(1)
}

impl<K, V> Store<K, V> {
    /// An entry was used.
    #[inline]
    pub(super) fn used(&mut self, slot: u32, hash: u64) {
        let (Some(most), Policy::TinyLfu) = (self.limits.max_weight, self.limits.policy) else {
            self.lists.refresh(slot);
            return;
        };
        self.sketch.see(hash);
        if self.lists.segment(slot) != Segment::Probation {
            self.lists.refresh(slot);
            return;
        }
        self.shift(slot, Segment::Protected);
        let limit = (most - window_limit(most).min(most)) / 5 * 4;
        while self.weights[Segment::Protected as usize] > limit {
            let oldest = self.lists.oldest(Segment::Protected);
            if oldest == NIL {
                break;
            }
            self.shift(oldest, Segment::Probation);
        }
    }

    fn shift(&mut self, slot: u32, to: Segment) {
        let weight = self.entry(slot).map_or(0, |entry| entry.weight);
        self.weights[self.lists.segment(slot) as usize] -= weight;
        self.lists.unlink(slot);
        self.lists.push(slot, to);
        self.weights[to as usize] += weight;
    }

    /// The entry that goes first.
    pub(super) fn victim(&self) -> u32 {
        let order = [Segment::Probation, Segment::Protected, Segment::Window];
        let oldest = order.map(|segment| self.lists.oldest(segment));
        oldest.into_iter().find(|&slot| slot != NIL).unwrap_or(NIL)
    }

    fn frequency(&self, slot: u32) -> u64 {
        self.entry(slot)
            .map_or(0, |entry| self.sketch.frequency(entry.hash))
    }

    /// Evicts until there is no more than there may be.
    pub(super) fn shrink(&mut self, gone: &mut impl Extend<Gone<K, V>>) {
        let Some(most) = self.limits.max_weight else {
            return;
        };
        let mut candidates = 0;
        if self.limits.policy == Policy::TinyLfu {
            let limit = window_limit(most);
            while self.weights[Segment::Window as usize] > limit {
                let oldest = self.lists.oldest(Segment::Window);
                if oldest == NIL {
                    break;
                }
                self.shift(oldest, Segment::Probation);
                candidates += 1;
            }
        }
        while self.weight() > most {
            let victim = self.victim();
            if victim == NIL {
                return;
            }
            let candidate = self.lists.newest(Segment::Probation);
            let must_compete = candidates > 0 && candidate != victim;
            let loser = if must_compete && self.frequency(candidate) <= self.frequency(victim) {
                candidates -= 1;
                candidate
            } else {
                victim
            };
            self.remove(Place(loser), Cause::Size, gone);
        }
    }
}
