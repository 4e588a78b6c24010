//! Strings, lone surrogates included.

use super::{
    LARGE,
    refusal::{Refusal, Told},
    walk::Walk,
};
use crate::{
    core::keys::Encoder,
    py::values::{Units, units},
};
use pyo3::{prelude::*, types::PyString};

/// The code points of a `str`, which stay as long as the object lives.
pub(super) fn units_of<'a>(text: &'a Bound<'_, PyAny>) -> Result<Units<'a>, Box<Refusal>> {
    if !text.is_exact_instance_of::<PyString>() {
        return Err(Refusal::of(text, "a name must be a str"));
    }
    // SAFETY: it is a live str, and outlives `'a`.
    unsafe { units(text.as_ptr()) }.ok_or_else(|| {
        Refusal::of(
            text,
            "it is in the form of strings that Python 3.12 gave up",
        )
    })
}

impl<'py> Walk<'_, 'py> {
    /// Tells a `str`: nobody can change it, so the lock is not needed for a long one.
    #[inline]
    pub(super) fn text(&mut self, text: &Bound<'py, PyAny>, into: &mut Encoder) -> Told {
        let units = units_of(text)?;
        let size = match units {
            Units::One(units) => units.len(),
            Units::Two(units) => 2 * units.len(),
            Units::Four(units) => 4 * units.len(),
        };
        if size < LARGE {
            tell(units, into);
        } else {
            self.py.detach(|| tell(units, into));
        }
        Ok(())
    }
}

fn tell(units: Units<'_>, into: &mut Encoder) {
    match units {
        Units::One(units) => into.text1(units),
        Units::Two(units) => into.text2(units),
        Units::Four(units) => into.text4(units),
    }
}
