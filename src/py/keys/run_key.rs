//! The key of a run: of all that it depends on beside its inputs, and of these.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::sharing::{Sharing, sharing};
use super::walk::Walk;
use crate::core::keys::{Encoder, Tag};

/// The key of inputs under a prefix, itself a digest; `None` if somebody has to see
/// whether objects in the inputs refer to one another.
///
/// `root`: what an error calls the inputs; `reduce`: as for `_digest`; `is_apart`: nothing
/// in them is in two places, as the caller knows.
#[pyfunction(name = "_run_key")]
pub fn run_key<'py>(
    py: Python<'py>,
    prefix: &Bound<'py, PyBytes>,
    inputs: &Bound<'py, PyAny>,
    root: &str,
    reduce: &Bound<'py, PyAny>,
    is_apart: bool,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let mut encoder = Encoder::new();
    encoder.bytes(Tag::Bytes, prefix.as_bytes());
    if is_apart {
        encoder.tag(Tag::None);
    } else {
        match sharing(inputs)? {
            Sharing::None => encoder.tag(Tag::None),
            Sharing::Unknown => return Ok(None),
            Sharing::At(places) => {
                encoder.open(Tag::List, places.len());
                for (place, first) in places {
                    encoder.int(place.cast_signed() as i64);
                    encoder.int(first.cast_signed() as i64);
                }
            }
        }
    }
    Walk::new(py, reduce)
        .value(inputs, &mut encoder)
        .map_err(|refusal| refusal.into_error(py, root))?;
    Ok(Some(PyBytes::new(py, encoder.finish().as_ref())))
}

/// Whether nothing that can change is in two places of a value; `None` if somebody has to
/// look, since it holds objects of types that are not known.
#[pyfunction(name = "_is_apart")]
pub fn is_apart(value: &Bound<'_, PyAny>) -> PyResult<Option<bool>> {
    Ok(match sharing(value)? {
        Sharing::None => Some(true),
        Sharing::At(_) => Some(false),
        Sharing::Unknown => None,
    })
}
