//! numpy's arrays and scalars, by dtype, shape and content.

use super::{
    refusal::{Refusal, Told},
    types::Numpy,
    walk::Walk,
};
use crate::core::keys::{Encoder, Tag};
use pyo3::{
    intern,
    prelude::*,
    types::{PyBytes, PyList, PyString},
};

impl<'py> Walk<'_, 'py> {
    #[inline(never)]
    pub(super) fn array(
        &mut self,
        numpy: &Numpy,
        array: &Bound<'py, PyAny>,
        into: &mut Encoder,
    ) -> Told {
        let py = self.py;
        let (description, by_memory) = dtype_of(numpy, array)?;
        into.tag(if by_memory {
            Tag::Array
        } else {
            Tag::ObjectArray
        });
        self.value(&description, into)?;
        self.value(&array.getattr(intern!(py, "shape"))?, into)?;
        if !by_memory {
            return self.elements(array, into);
        }
        if array.getattr(intern!(py, "nbytes"))?.extract::<usize>()? == 0 {
            into.bytes(Tag::Bytes, &[]);
            return Ok(());
        }
        let contiguous: bool = array
            .getattr(intern!(py, "flags"))?
            .getattr(intern!(py, "c_contiguous"))?
            .extract()?;
        let whole = if contiguous {
            array.clone()
        } else {
            numpy.contiguous(array)?
        };
        // Some dtypes, such as those of dates, do not go through the buffer protocol.
        let bytes = whole
            .call_method1(intern!(py, "reshape"), (-1,))?
            .call_method1(intern!(py, "view"), (intern!(py, "u1"),))?;
        self.memory(&bytes, !contiguous, into)
    }

    /// Arrays that hold objects, element by element.
    #[inline(never)]
    fn elements(&mut self, array: &Bound<'py, PyAny>, into: &mut Encoder) -> Told {
        let py = self.py;
        let items = array
            .call_method1(intern!(py, "reshape"), (-1,))?
            .call_method1(intern!(py, "astype"), (intern!(py, "O"),))?
            .call_method0(intern!(py, "tolist"))?;
        let items = items.cast_exact::<PyList>().map_err(PyErr::from)?;
        into.open(Tag::List, items.len());
        // The list is ours alone.
        for (index, item) in items.iter().enumerate() {
            self.value(&item, into)
                .map_err(|refusal| refusal.inside(array, format!(".flat[{index}]")))?;
        }
        Ok(())
    }

    #[inline(never)]
    pub(super) fn array_scalar(
        &mut self,
        numpy: &Numpy,
        scalar: &Bound<'py, PyAny>,
        into: &mut Encoder,
    ) -> Told {
        let py = self.py;
        let class = scalar
            .getattr(intern!(py, "dtype"))?
            .getattr(intern!(py, "type"))?;
        if !scalar.get_type().is(&class) {
            return Err(Refusal::of(scalar, "it is of a subclass of numpy's scalar"));
        }
        let (description, by_memory) = dtype_of(numpy, scalar)?;
        if !by_memory {
            return Err(Refusal::of(scalar, "it holds objects"));
        }
        into.tag(Tag::ArrayScalar);
        self.value(&description, into)?;
        let bytes = scalar.call_method0(intern!(py, "tobytes"))?;
        into.bytes(
            Tag::Bytes,
            bytes
                .cast_exact::<PyBytes>()
                .map_err(PyErr::from)?
                .as_bytes(),
        );
        Ok(())
    }
}

/// How the dtype of an array or scalar is described, and whether its memory is its content.
fn dtype_of<'py>(
    numpy: &Numpy,
    value: &Bound<'py, PyAny>,
) -> Result<(Bound<'py, PyAny>, bool), Box<Refusal>> {
    let dtype = value.getattr(intern!(value.py(), "dtype"))?;
    let reduction = numpy.dtype_reduction(&dtype)?;
    if let Ok(reason) = reduction.cast_exact::<PyString>() {
        return Err(Refusal::of(value, reason.to_string_lossy().into_owned()));
    }
    Ok(reduction.extract()?)
}
