//! How often keys were seen lately: a count-min sketch of four-bit counters.

/// Each key has a counter in each of so many rows; the lowest counts.
const ROWS: usize = 4;
const MOST: u64 = 15;
/// After so many sightings a word, all counters are halved: what was popular once fades.
const SIGHTINGS: usize = 10;
/// All counters of a key are within so many words, which are one line of memory.
const BLOCK: usize = 8;
const SMALLEST: usize = 64;

pub(super) struct Sketch {
    /// Sixteen counters a word, of which a key uses one in each of four words. A power of
    /// two of them.
    words: Vec<u64>,
    smallest: usize,
    sightings: u32,
}

fn spread(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 32)).wrapping_mul(0x9fb2_1c65_1e98_df25);
    hash ^ (hash >> 32)
}

impl Sketch {
    pub(super) fn new() -> Self {
        Self::with_words(SMALLEST)
    }

    fn with_words(smallest: usize) -> Self {
        Self {
            words: vec![0; smallest],
            smallest,
            sightings: 0,
        }
    }

    /// As [`Self::new`], for a cache that is so many powers of two smaller.
    pub(super) fn miniature(shift: u32) -> Self {
        Self::with_words(SMALLEST.checked_shr(shift).unwrap_or(0).max(BLOCK))
    }

    /// Where a key's block begins: blocks go by the upper bits, counters by the lower.
    #[inline]
    fn block(&self, spread: u64) -> usize {
        ((spread >> 32) as usize & (self.words.len() / BLOCK - 1)) * BLOCK
    }

    /// Where the counter of a row is within its block: the word, and by how much it is
    /// shifted. Each row has two words.
    #[inline]
    fn place(spread: u64, row: usize) -> (usize, u32) {
        let within = (spread >> (row * 8)) as usize;
        (row * 2 + (within & 1), ((within >> 1) as u32 & 15) * 4)
    }

    /// Makes room for so many keys. The counters of a doubled sketch are twice the same,
    /// so that what is known stays known.
    pub(super) fn reserve(&mut self, keys: usize) {
        while self.words.len() < keys {
            let length = self.words.len();
            self.words.extend_from_within(..length);
        }
    }

    #[inline]
    pub(super) fn frequency(&self, hash: u64) -> u64 {
        let spread = spread(hash);
        let start = self.block(spread);
        let Some(block) = self.words[start..].first_chunk::<BLOCK>() else {
            return 0;
        };
        let mut least = MOST;
        for row in 0..ROWS {
            let (word, shift) = Self::place(spread, row);
            least = least.min((block[word] >> shift) & MOST);
        }
        least
    }

    #[inline]
    pub(super) fn see(&mut self, hash: u64) {
        let spread = spread(hash);
        let start = self.block(spread);
        let Some(block) = self.words[start..].first_chunk_mut::<BLOCK>() else {
            return;
        };
        let mut has_grown = false;
        for row in 0..ROWS {
            let (word, shift) = Self::place(spread, row);
            if (block[word] >> shift) & MOST < MOST {
                block[word] += 1 << shift;
                has_grown = true;
            }
        }
        if has_grown {
            self.sightings += 1;
            if self.sightings as usize >= SIGHTINGS * self.words.len() {
                self.age();
            }
        }
    }

    #[cold]
    fn age(&mut self) {
        for word in &mut self.words {
            *word = (*word >> 1) & 0x7777_7777_7777_7777;
        }
        self.sightings /= 2;
    }

    pub(super) fn clear(&mut self) {
        *self = Self::with_words(self.smallest);
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
