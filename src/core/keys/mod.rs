//! The canonical form of values, and digests of it.
//!
//! Equal values have equal digests, whatever the order in which dicts and sets
//! were filled; values that differ in type, content or nesting have different
//! ones. [`Encoder`] turns a value that is told piece by piece into bytes and
//! streams them into BLAKE3:
//!
//! - Every value begins with a [`Tag`] that names its type.
//! - What follows is of a length that the tag fixes, or begins with its length
//!   or count (LEB128, no longer than needed). So no encoding is the beginning
//!   of another one, and `["ab", "c"]` cannot pass for `["a", "bc"]`.
//! - Numbers are little-endian; ints are in two's complement, no longer than
//!   needed.
//! - What has no order is told as its sorted entries: the digest of each, or
//!   its form where that is no longer. A dict with nothing but text for keys is
//!   told in the order of the keys' code points, in one pass.
//!
//! The form is part of what users store: a digest may only change together
//! with [`FORM`], and the golden tests say when it has.

mod digest;
mod encoder;
mod tag;
#[cfg(test)]
mod tests;

pub use self::{
    digest::{Digest, Entry, FORM},
    encoder::Encoder,
    tag::Tag,
};
