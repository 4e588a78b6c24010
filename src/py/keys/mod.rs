//! Digests of Python values: a native walk that tells them to the core.
//!
//! What a program can tell apart has another digest; the order in which a dict
//! or a set was filled has none. Only objects whose type is *exactly* a known
//! one are read natively. What else there is, `reduce`, a function of
//! `nexus_core.keys`, turns into a name and attributes, or refuses.
//!
//! The interpreter lock is released while large content is hashed that nobody
//! can change: `bytes`, `str`, and the copies that are made of arrays which are
//! not contiguous. What another thread could change, a `bytearray`, the memory
//! of a `memoryview` or of an array, is hashed attached, so that it is what it
//! was at one moment: a copy would hold the lock for as long as the hash does.

mod arrays;
mod buffers;
mod containers;
mod numbers;
mod refusal;
pub(in crate::py) mod run_key;
mod sharing;
mod texts;
mod times;
mod types;
mod walk;

pub(in crate::py) use self::types::Types;
use self::walk::Walk;
use crate::core::keys::{Encoder, Tag};
use pyo3::{prelude::*, types::PyBytes};

/// Nesting beyond which a value is refused. It is what ends the walk through a
/// value that contains itself, and fits on the stack of any worker thread.
const MAX_DEPTH: usize = 256;

/// As many entries as no dict has.
const IN_ORDER: usize = usize::MAX;

/// From so many bytes on the interpreter lock is released, if it may be.
const LARGE: usize = 64 * 1024;

/// For each place in `value` of what was met there before, its number and that of the first
/// place; `None` if it holds objects, which somebody else has to look into.
pub(crate) fn shared_places(value: &Bound<'_, PyAny>) -> PyResult<Option<Vec<(usize, usize)>>> {
    Ok(match sharing::sharing(value)? {
        sharing::Sharing::None => Some(Vec::new()),
        sharing::Sharing::At(places) => Some(places),
        sharing::Sharing::Unknown => None,
    })
}

/// The digest of `value`, which an error calls `root`, with the order that its dicts have.
/// It has nothing in common with what `digest` makes of the same value.
pub(crate) fn digest_in_order<'py>(
    value: &Bound<'py, PyAny>,
    root: &str,
    reduce: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyBytes>> {
    let py = value.py();
    let mut encoder = Encoder::new();
    // What is told first keeps the two kinds apart.
    encoder.open(Tag::Dict, IN_ORDER);
    let mut walk = Walk::new(py, reduce);
    walk.keeps_order = true;
    walk.value(value, &mut encoder)
        .map_err(|refusal| refusal.into_error(py, root))?;
    Ok(PyBytes::new(py, encoder.finish().as_ref()))
}

/// The digest of `value`, which an error calls `root`.
#[pyfunction(name = "_digest")]
pub fn digest<'py>(
    py: Python<'py>,
    value: &Bound<'py, PyAny>,
    root: &str,
    reduce: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyBytes>> {
    let mut encoder = Encoder::new();
    Walk::new(py, reduce)
        .value(value, &mut encoder)
        .map_err(|refusal| refusal.into_error(py, root))?;
    Ok(PyBytes::new(py, encoder.finish().as_ref()))
}
