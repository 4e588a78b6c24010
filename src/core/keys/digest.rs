//! The digest of a canonical form.

/// The key of the keyed hash, which keeps our digests apart from those that
/// anybody else makes of the same bytes. The number counts the changes of the
/// canonical form: it is raised whenever a digest would change.
pub const FORM: &[u8; 32] = b"nexus-core canonical form no 001";

/// 256 bits that stand for a value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of bytes that are there already.
    pub(super) fn of(encoded: &[u8]) -> Self {
        Self(*blake3::keyed_hash(FORM, encoded).as_bytes())
    }
}

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// What stands for one of many values that have no order: its form itself where
/// that is short, which spares most sets a digest for each entry, else the
/// form's digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Entry([u8; Entry::LONGEST + 1]);

impl Entry {
    /// The longest form that stands for itself. No form can be mistaken for a
    /// digest: the first byte is the form's length, or more than any.
    const LONGEST: usize = 32;

    pub(super) fn of(encoded: &[u8]) -> Self {
        if encoded.len() > Self::LONGEST {
            return Self::from(Digest::of(encoded));
        }
        let mut bytes = [0; Self::LONGEST + 1];
        bytes[0] = encoded.len() as u8;
        bytes[1..=encoded.len()].copy_from_slice(encoded);
        Self(bytes)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0[..=usize::from(self.0[0]).min(Self::LONGEST)]
    }
}

impl From<Digest> for Entry {
    fn from(digest: Digest) -> Self {
        let mut bytes = [0xff; Self::LONGEST + 1];
        bytes[1..].copy_from_slice(&digest.0);
        Self(bytes)
    }
}
