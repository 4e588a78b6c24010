//! Writes the canonical form and hashes it on the way.

use super::{
    Tag,
    digest::{Digest, Entry, FORM},
};

/// What is collected before it is hashed. BLAKE3 is fastest on 16 KiB at a
/// time, and many forms are shorter than that as a whole.
const COLLECTED: usize = 16 * 1024;

/// A digest in the making.
///
/// The caller says what the value is made of, in the order that each [`Tag`]
/// names.
pub struct Encoder {
    collected: Vec<u8>,
    /// What was hashed before; none where all of it is still collected.
    hasher: Option<Box<blake3::Hasher>>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    pub fn new() -> Self {
        Self {
            collected: Vec::with_capacity(64),
            hasher: None,
        }
    }

    /// A tag without anything to follow, or whose content the caller writes.
    #[inline]
    pub fn tag(&mut self, tag: Tag) {
        self.room();
        self.collected.push(tag as u8);
    }

    /// A tag and how many values follow.
    #[inline]
    pub fn open(&mut self, tag: Tag, count: usize) {
        self.tag(tag);
        self.length(count);
    }

    /// An int that fits in 64 bits.
    #[inline]
    pub fn int(&mut self, int: i64) {
        // The bits that tell, and one for the sign; nothing at all for a zero.
        let bits = 65 - (int ^ (int >> 63)).leading_zeros();
        let length = if int == 0 { 0 } else { bits.div_ceil(8) };
        let mut form = [0; 10];
        form[0] = Tag::Int as u8;
        form[1] = length as u8;
        form[2..].copy_from_slice(&int.to_le_bytes());
        self.room();
        self.collected
            .extend_from_slice(&form[..2 + length as usize]);
    }

    /// An int of any size: two's complement, little-endian, of any length that
    /// holds it.
    pub fn long_int(&mut self, bytes: &[u8]) {
        let mut length = bytes.len();
        // A last byte that only repeats the sign says nothing.
        while length > 0 {
            let sign_before = length > 1 && bytes[length - 2] & 0x80 != 0;
            let repeats = if sign_before { 0xff } else { 0 };
            if bytes[length - 1] != repeats {
                break;
            }
            length -= 1;
        }
        self.bytes(Tag::Int, &bytes[..length]);
    }

    /// A float. All NaNs are one; `-0.0` is not `0.0`, since programs can tell.
    #[inline]
    pub fn float(&mut self, float: f64) {
        self.tag(Tag::Float);
        self.double(float);
    }

    pub fn complex(&mut self, real: f64, imaginary: f64) {
        self.tag(Tag::Complex);
        self.double(real);
        self.double(imaginary);
    }

    #[inline]
    fn double(&mut self, float: f64) {
        let float = if float.is_nan() { f64::NAN } else { float };
        self.raw(&float.to_bits().to_le_bytes());
    }

    /// A tag, a length and as many bytes.
    #[inline]
    pub fn bytes(&mut self, tag: Tag, bytes: &[u8]) {
        if bytes.len() < 0x80 {
            self.room();
            self.collected
                .extend_from_slice(&[tag as u8, bytes.len() as u8]);
            self.collected.extend_from_slice(bytes);
        } else {
            self.open(tag, bytes.len());
            self.raw(bytes);
        }
    }

    /// Text of code points below 256.
    #[inline]
    pub fn text1(&mut self, units: &[u8]) {
        self.bytes(Tag::Text1, units);
    }

    /// Text that has code points from 256 up, but none above 65,535.
    pub fn text2(&mut self, units: &[u16]) {
        self.open(Tag::Text2, units.len());
        self.units(units, u16::to_le_bytes);
    }

    /// Text that has code points above 65,535.
    pub fn text4(&mut self, units: &[u32]) {
        self.open(Tag::Text4, units.len());
        self.units(units, u32::to_le_bytes);
    }

    fn units<T: Copy, const N: usize>(&mut self, units: &[T], bytes: impl Fn(T) -> [u8; N]) {
        for piece in units.chunks(COLLECTED / N) {
            self.room();
            self.collected
                .extend(piece.iter().flat_map(|&unit| bytes(unit)));
        }
    }

    /// A count and the entries of what has no order.
    pub fn unordered(&mut self, tag: Tag, entries: &mut [Entry]) {
        entries.sort_unstable();
        self.open(tag, entries.len());
        for entry in entries {
            self.raw(entry.as_bytes());
        }
    }

    /// The digest of all that was written.
    pub fn finish(mut self) -> Digest {
        match self.hasher.take() {
            None => Digest::of(&self.collected),
            Some(hasher) => self.digest_with(hasher),
        }
    }

    /// What stands for all that was written, as one entry among others. The
    /// encoder is then as new.
    pub fn take_entry(&mut self) -> Entry {
        let entry = match self.hasher.take() {
            None => Entry::of(&self.collected),
            Some(hasher) => self.digest_with(hasher).into(),
        };
        self.collected.clear();
        entry
    }

    #[cold]
    fn digest_with(&self, mut hasher: Box<blake3::Hasher>) -> Digest {
        hasher.update(&self.collected);
        Digest(*hasher.finalize().as_bytes())
    }

    /// LEB128.
    #[inline]
    fn length(&mut self, mut length: usize) {
        while length >= 0x80 {
            self.collected.push(length as u8 | 0x80);
            length >>= 7;
        }
        self.collected.push(length as u8);
    }

    #[inline]
    fn raw(&mut self, bytes: &[u8]) {
        if bytes.len() < COLLECTED {
            self.room();
            self.collected.extend_from_slice(bytes);
        } else {
            self.flush();
            self.hasher().update(bytes);
        }
    }

    #[inline]
    fn room(&mut self) {
        if self.collected.len() >= COLLECTED {
            self.flush();
        }
    }

    #[cold]
    fn flush(&mut self) {
        let collected = std::mem::take(&mut self.collected);
        self.hasher().update(&collected);
        self.collected = collected;
        self.collected.clear();
    }

    fn hasher(&mut self) -> &mut blake3::Hasher {
        self.hasher
            .get_or_insert_with(|| Box::new(blake3::Hasher::new_keyed(FORM)))
    }

    /// What was written, for the tests that read it back.
    #[cfg(test)]
    pub(super) fn written(&self) -> &[u8] {
        assert!(self.hasher.is_none(), "some of it was hashed already");
        &self.collected
    }
}
