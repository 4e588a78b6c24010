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
