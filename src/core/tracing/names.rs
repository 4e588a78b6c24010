//! Names that are kept once and referred to by number.

use std::collections::HashMap;

/// In place of those for which there is no room.
const OTHER: &str = "other";

/// A bounded number of distinct names, counted from one; zero is none.
pub(super) struct Names {
    numbers: HashMap<Box<str>, u32>,
    in_order: Vec<Box<str>>,
    most: usize,
}

impl Names {
    pub(super) fn new(most: usize) -> Self {
        Self {
            numbers: HashMap::new(),
            in_order: Vec::new(),
            most,
        }
    }

    /// The number of a name; beyond the bound, that of `other`.
    pub(super) fn number(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let name = if self.in_order.len() < self.most {
            name
        } else {
            OTHER
        };
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        self.in_order.push(name.into());
        let number = self.in_order.len() as u32;
        self.numbers.insert(name.into(), number);
        number
    }

    /// All names, the first at index zero.
    pub(super) fn all(&self) -> Vec<String> {
        self.in_order.iter().map(ToString::to_string).collect()
    }
}
