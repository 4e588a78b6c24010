//! Failures by type, of few types.

use std::collections::HashMap;

use crate::core::locks::Mutex;

/// Distinct types a workflow; others count as [`OTHER`].
const MOST_TYPES: usize = 50;

pub const OTHER: &str = "other";

/// How often what failed with which type of error. They are rare enough for a lock.
#[derive(Default)]
pub struct Failures(Mutex<HashMap<(u32, Box<str>), u64>>);

impl Failures {
    pub fn count(&self, what: u32, name: &str, times: u64) {
        let mut counts = self.0.lock();
        if let Some(count) = counts.get_mut(&(what, Box::from(name))) {
            *count += times;
            return;
        }
        let types = counts.keys().filter(|(known, _)| *known == what).count();
        let name = if types < MOST_TYPES { name } else { OTHER };
        *counts.entry((what, name.into())).or_default() += times;
    }

    /// What failed, with which type, and how often.
    pub fn all(&self) -> Vec<(u32, String, u64)> {
        let counts = self.0.lock();
        let mut all: Vec<_> = counts
            .iter()
            .map(|((what, name), &count)| (*what, name.to_string(), count))
            .collect();
        drop(counts);
        all.sort();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_beyond_the_bound_count_as_others() {
        let failures = Failures::default();
        for number in 0..2 * MOST_TYPES {
            failures.count(0, &format!("Error{number}"), 1);
            failures.count(1, "Error0", 1);
        }
        let all = failures.all();
        assert_eq!(all.len(), MOST_TYPES + 2);
        assert_eq!(all.iter().map(|(_, _, count)| count).sum::<u64>(), 200);
        assert!(all.contains(&(0, OTHER.into(), MOST_TYPES as u64)));
    }
}
