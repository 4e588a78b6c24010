//! Ints of any size, and decimals.

use super::{refusal::Told, walk::Walk};
use crate::core::keys::{Encoder, Tag};
use pyo3::{
    ffi, intern,
    prelude::*,
    types::{IntoPyDict, PyBytes},
};

impl<'py> Walk<'_, 'py> {
    #[inline]
    pub(super) fn int(&mut self, int: &Bound<'py, PyAny>, into: &mut Encoder) -> Told {
        let mut overflow = 0;
        // SAFETY: the object is an int, so the call sets no error.
        let small = unsafe { ffi::PyLong_AsLongLongAndOverflow(int.as_ptr(), &raw mut overflow) };
        if overflow == 0 {
            into.int(small);
            Ok(())
        } else {
            self.long_int(int, into)
        }
    }

    #[cold]
    fn long_int(&mut self, int: &Bound<'py, PyAny>, into: &mut Encoder) -> Told {
        let py = self.py;
        let bits: usize = int.call_method0(intern!(py, "bit_length"))?.extract()?;
        let signed = [(intern!(py, "signed"), true)].into_py_dict(py)?;
        // One bit more, for the sign.
        let bytes = int.call_method(
            intern!(py, "to_bytes"),
            (bits / 8 + 1, intern!(py, "little")),
            Some(&signed),
        )?;
        into.long_int(bytes.cast::<PyBytes>().map_err(PyErr::from)?.as_bytes());
        Ok(())
    }
}

/// `1.0` and `1.00` are two: a program can tell them apart.
pub(super) fn decimal(decimal: &Bound<'_, PyAny>, into: &mut Encoder) -> Told {
    let text = decimal.str()?;
    // The context of the thread says whether the exponent's E is a capital.
    let text = text.to_string_lossy().to_ascii_uppercase();
    into.tag(Tag::Decimal);
    into.text1(text.as_bytes());
    Ok(())
}
