//! How often keys were seen lately: a count-min sketch of four-bit counters.

/// Each key has a counter in each of so many rows; the lowest counts.
const ROWS: usize = 4;
const MOST: u64 = 15;
/// After so many sightings a place, all counters are halved: what was popular once fades.
const SIGHTINGS: u32 = 10;
const SMALLEST: usize = 64;

const SEEDS: [u64; ROWS] = [
    0xc3a5_c85c_97cb_3127,
    0xb492_b66f_be98_f273,
    0x9ae1_6a3b_2f90_404f,
    0xcbf2_9ce4_8422_2325,
];

pub(super) struct Sketch {
    /// Sixteen counters a word, of which a key uses one in each of four words.
    words: Vec<u64>,
    sightings: u32,
}

fn spread(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 32)).wrapping_mul(0x9fb2_1c65_1e98_df25);
    hash ^ (hash >> 32)
}

impl Sketch {
    pub(super) fn new() -> Self {
        Self {
            words: vec![0; SMALLEST],
            sightings: 0,
        }
    }

    /// Where the counter of a row is: the word, and by how much it is shifted.
    fn place(&self, spread: u64, row: usize) -> (usize, u32) {
        let mixed = (spread ^ SEEDS[row]).wrapping_mul(SEEDS[row]);
        let word = (mixed >> 32) as usize & (self.words.len() - 1);
        // A quarter of a word for each row: two rows that meet in a word stay apart.
        let counter = row as u64 * 4 + (spread & 3);
        (word, counter as u32 * 4)
    }

    /// Makes room for so many keys. The counters of a doubled sketch are twice the same,
    /// so that what is known stays known.
    pub(super) fn reserve(&mut self, keys: usize) {
        while self.words.len() < keys {
            let length = self.words.len();
            self.words.extend_from_within(..length);
        }
    }

    pub(super) fn frequency(&self, hash: u64) -> u64 {
        let spread = spread(hash);
        (0..ROWS)
            .map(|row| {
                let (word, shift) = self.place(spread, row);
                (self.words[word] >> shift) & MOST
            })
            .min()
            .unwrap_or(0)
    }

    pub(super) fn see(&mut self, hash: u64) {
        let spread = spread(hash);
        let mut has_grown = false;
        for row in 0..ROWS {
            let (word, shift) = self.place(spread, row);
            if (self.words[word] >> shift) & MOST < MOST {
                self.words[word] += 1 << shift;
                has_grown = true;
            }
        }
        if has_grown {
            self.sightings += 1;
            if self.sightings as usize >= SIGHTINGS as usize * self.words.len() {
                self.age();
            }
        }
    }

    fn age(&mut self) {
        for word in &mut self.words {
            *word = (*word >> 1) & 0x7777_7777_7777_7777;
        }
        self.sightings /= 2;
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_more_often_counts_more_and_never_too_little() {
        let mut sketch = Sketch::new();
        sketch.reserve(1000);
        for hash in 0..200 {
            for _ in 0..hash % 10 {
                sketch.see(hash);
            }
        }
        for hash in 0..200 {
            assert!(sketch.frequency(hash) >= hash % 10, "{hash}");
        }
        let exact = (0..200).filter(|&hash| sketch.frequency(hash) == hash % 10);
        assert!(exact.count() > 190);
    }

    #[test]
    fn a_larger_sketch_still_knows_what_the_smaller_one_knew() {
        let mut sketch = Sketch::new();
        for _ in 0..7 {
            sketch.see(42);
        }
        sketch.reserve(5000);
        assert_eq!(sketch.frequency(42), 7);
    }

    #[test]
    fn what_was_popular_fades() {
        let mut sketch = Sketch::new();
        for _ in 0..15 {
            sketch.see(7);
        }
        for hash in 1000..4000 {
            sketch.see(hash);
        }
        assert!(sketch.frequency(7) < 15);
    }
}
