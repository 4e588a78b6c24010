//! A queue with priorities: first in, first out among equals.

use std::collections::{BTreeMap, VecDeque};

/// Highest priority first. What has the usual priority, zero, lies in a plain
/// deque: where nobody asks for another, a push costs no more than that.
pub struct PriorityQueue<T> {
    usual: VecDeque<T>,
    /// Never an empty one.
    others: BTreeMap<i64, VecDeque<T>>,
    len: usize,
}

impl<T> Default for PriorityQueue<T> {
    fn default() -> Self {
        Self {
            usual: VecDeque::new(),
            others: BTreeMap::new(),
            len: 0,
        }
    }
}

impl<T> PriorityQueue<T> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn push(&mut self, priority: i64, item: T) {
        self.len += 1;
        if priority == 0 {
            self.usual.push_back(item);
        } else {
            self.others.entry(priority).or_default().push_back(item);
        }
    }

    pub fn pop(&mut self) -> Option<T> {
        let item = if self.others.is_empty() {
            self.usual.pop_front()
        } else {
            self.pop_with_priorities()
        };
        self.len -= usize::from(item.is_some());
        item
    }

    fn pop_with_priorities(&mut self) -> Option<T> {
        let highest = self.others.last_entry();
        match highest {
            Some(mut highest) if *highest.key() > 0 || self.usual.is_empty() => {
                let item = highest.get_mut().pop_front();
                if highest.get().is_empty() {
                    highest.remove();
                }
                item
            }
            _ => self.usual.pop_front(),
        }
    }

    /// Takes out what `keep` does not hold with; the others keep their order.
    pub fn take_unless(&mut self, keep: impl Fn(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        let mut sift = |lane: &mut VecDeque<T>| {
            for item in std::mem::take(lane) {
                if keep(&item) {
                    lane.push_back(item);
                } else {
                    taken.push(item);
                }
            }
        };
        sift(&mut self.usual);
        self.others.values_mut().for_each(&mut sift);
        self.others.retain(|_, lane| !lane.is_empty());
        self.len -= taken.len();
        taken
    }

    pub fn drain(&mut self) -> Vec<T> {
        let mut all = Vec::with_capacity(self.len);
        while let Some(item) = self.pop() {
            all.push(item);
        }
        all
    }
}
