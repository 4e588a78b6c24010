//! What was used since: the LRU stack of the sampled keys.

use hashbrown::HashTable;

const SMALLEST: usize = 64;

#[derive(Clone, Copy)]
struct Use {
    hash: u64,
    weight: u64,
}

/// Keys in the order of their last uses, and the sums of their weights.
///
/// Each use takes the next position in a Fenwick tree (a tree of partial sums), so that the
/// weight of all that was used later is found in a logarithmic number of steps. When the
/// positions run out, those that are taken move together.
pub(super) struct Stack {
    /// Positions by hash.
    index: HashTable<u32>,
    uses: Vec<Option<Use>>,
    sums: Vec<u64>,
    next: usize,
    /// Before it nothing is taken.
    oldest: usize,
    weight: u64,
}

impl Stack {
    pub(super) fn new() -> Self {
        Self {
            index: HashTable::new(),
            uses: vec![None; SMALLEST],
            sums: vec![0; SMALLEST + 1],
            next: 0,
            oldest: 0,
            weight: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    fn at(&self, position: u32) -> Option<Use> {
        self.uses.get(position as usize).copied().flatten()
    }

    fn position(&self, hash: u64) -> Option<u32> {
        let same = |&position: &u32| self.at(position).is_some_and(|each| each.hash == hash);
        self.index.find(hash, same).copied()
    }

    /// What its last use said that it weighs.
    pub(super) fn weight_of(&self, hash: u64) -> Option<u64> {
        Some(self.at(self.position(hash)?)?.weight)
    }

    /// A key is used: the weight of all that was used since its last use, or `None` at its first.
    pub(super) fn touch(&mut self, hash: u64, weight: u64) -> Option<u64> {
        if self.next == self.uses.len() {
            self.move_together();
        }
        let position = self.next;
        self.next += 1;
        let uses = &mut self.uses;
        let same = |&known: &u32| uses[known as usize].is_some_and(|each| each.hash == hash);
        let distance = if let Some(known) = self.index.find_mut(hash, same) {
            let earlier = std::mem::replace(known, position as u32) as usize;
            let gone = uses[earlier].take().map_or(0, |each| each.weight);
            let later = self.weight - self.sum(earlier + 1);
            self.add(earlier, gone.wrapping_neg());
            self.weight -= gone;
            Some(later)
        } else {
            self.index.insert_unique(hash, position as u32, |&known| {
                uses[known as usize].map_or(0, |each| each.hash)
            });
            None
        };
        self.uses[position] = Some(Use { hash, weight });
        self.add(position, weight);
        self.weight += weight;
        distance
    }

    pub(super) fn remove(&mut self, hash: u64) {
        if let Some(position) = self.position(hash) {
            self.take_out(position);
        }
    }

    /// Forgets the key whose last use is the longest ago.
    pub(super) fn drop_oldest(&mut self) {
        while self.oldest < self.next {
            let position = self.oldest as u32;
            if self.at(position).is_some() {
                self.take_out(position);
                return;
            }
            self.oldest += 1;
        }
    }

    pub(super) fn retain(&mut self, keep: impl Fn(u64) -> bool) {
        for position in 0..self.next as u32 {
            if self.at(position).is_some_and(|each| !keep(each.hash)) {
                self.take_out(position);
            }
        }
    }

    fn take_out(&mut self, position: u32) {
        let Some(gone) = self.uses.get_mut(position as usize).and_then(Option::take) else {
            return;
        };
        if let Ok(found) = self.index.find_entry(gone.hash, |&each| each == position) {
            found.remove();
        }
        self.add(position as usize, gone.weight.wrapping_neg());
        self.weight -= gone.weight;
    }

    /// Adds to the sum of a position; what is taken off is added as its complement.
    fn add(&mut self, position: usize, weight: u64) {
        let mut node = position + 1;
        while node < self.sums.len() {
            self.sums[node] = self.sums[node].wrapping_add(weight);
            node += node & node.wrapping_neg();
        }
    }

    /// The weight at the first so many positions.
    fn sum(&self, positions: usize) -> u64 {
        let (mut node, mut sum) = (positions, 0_u64);
        while node > 0 {
            sum = sum.wrapping_add(self.sums[node]);
            node &= node - 1;
        }
        sum
    }

    fn move_together(&mut self) {
        let taken: Vec<Use> = self.uses.iter().copied().flatten().collect();
        let room = (taken.len() * 2).next_power_of_two().max(SMALLEST);
        *self = Self {
            index: HashTable::with_capacity(taken.len()),
            uses: vec![None; room],
            sums: vec![0; room + 1],
            next: taken.len(),
            oldest: 0,
            weight: self.weight,
        };
        for (position, each) in taken.iter().enumerate() {
            self.uses[position] = Some(*each);
            self.sums[position + 1] = each.weight;
            let hash_of =
                |&position: &u32| taken.get(position as usize).map_or(0, |each| each.hash);
            self.index
                .insert_unique(each.hash, position as u32, hash_of);
        }
        for node in 1..=room {
            let above = node + (node & node.wrapping_neg());
            if above <= room {
                self.sums[above] = self.sums[above].wrapping_add(self.sums[node]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Touch(u64, u64),
        Remove(u64),
        DropOldest,
        RetainEven,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            30 => (0..60_u64, 0..9_u64).prop_map(|(key, weight)| Step::Touch(key, weight)),
            2 => (0..60_u64).prop_map(Step::Remove),
            1 => Just(Step::DropOldest),
            1 => Just(Step::RetainEven),
        ]
    }

    proptest! {
        /// Beside a plain list, the most recently used at its end.
        #[test]
        fn distances_are_those_of_a_plain_stack(steps in prop::collection::vec(step(), 1..600)) {
            let mut stack = Stack::new();
            let mut plain: Vec<(u64, u64)> = Vec::new();
            for step in steps {
                match step {
                    Step::Touch(key, weight) => {
                        let place = plain.iter().position(|(each, _)| *each == key);
                        let expected = place.map(|place| plain[place + 1..].iter().map(|(_, weight)| weight).sum());
                        prop_assert_eq!(stack.weight_of(key), place.map(|place| plain[place].1));
                        prop_assert_eq!(stack.touch(key, weight), expected);
                        plain.retain(|(each, _)| *each != key);
                        plain.push((key, weight));
                    }
                    Step::Remove(key) => {
                        stack.remove(key);
                        plain.retain(|(each, _)| *each != key);
                    }
                    Step::DropOldest => {
                        stack.drop_oldest();
                        plain.drain(..plain.len().min(1));
                    }
                    Step::RetainEven => {
                        stack.retain(|key| key % 2 == 0);
                        plain.retain(|(key, _)| key % 2 == 0);
                    }
                }
                prop_assert_eq!(stack.len(), plain.len());
                prop_assert_eq!(stack.weight(), plain.iter().map(|(_, weight)| weight).sum::<u64>());
            }
        }
    }
}
