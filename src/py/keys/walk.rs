//! The walk through a value.

use super::{
    MAX_DEPTH,
    buffers::byte_array,
    numbers::decimal,
    refusal::{Refusal, Told, key_segment},
    types::Types,
};
use crate::core::keys::{Encoder, Tag};
use pyo3::{
    exceptions::PyTypeError,
    ffi,
    prelude::*,
    types::{
        PyByteArray, PyBytes, PyComplex, PyDict, PyFrozenSet, PyMemoryView, PySet, PyString,
        PyTuple,
    },
};

/// Once in so many values, a few milliseconds, other threads may run and signals
/// are looked for, so that a long walk stops nobody and Ctrl-C stops it.
const BETWEEN_PAUSES: u32 = 1 << 17;

/// A walk under way.
pub(super) struct Walk<'a, 'py> {
    pub(super) py: Python<'py>,
    /// Says what a value of a type that is not known here is made of.
    reduce: &'a Bound<'py, PyAny>,
    /// Dicts are told in their own order, which code can see.
    pub(super) keeps_order: bool,
    depth: usize,
    steps: u32,
}

impl<'a, 'py> Walk<'a, 'py> {
    pub(super) fn new(py: Python<'py>, reduce: &'a Bound<'py, PyAny>) -> Self {
        Self {
            py,
            reduce,
            keeps_order: false,
            depth: 0,
            steps: 0,
        }
    }

    /// Tells a value to the encoder.
    pub(super) fn value(&mut self, value: &Bound<'py, PyAny>, into: &mut Encoder) -> Told {
        self.steps = self.steps.wrapping_add(1);
        if self.steps.is_multiple_of(BETWEEN_PAUSES) {
            self.pause()?;
        }
        // SAFETY: `value` is alive; every object has a type.
        let class = unsafe { ffi::Py_TYPE(value.as_ptr()) };
        if class == &raw mut ffi::PyUnicode_Type {
            self.text(value, into)
        } else if class == &raw mut ffi::PyLong_Type {
            self.int(value, into)
        } else if class == &raw mut ffi::PyFloat_Type {
            // SAFETY: the object is a float.
            into.float(unsafe { ffi::PyFloat_AS_DOUBLE(value.as_ptr()) });
            Ok(())
        } else if class == &raw mut ffi::PyDict_Type {
            self.nested(value, |walk| walk.dict(value, into))
        } else if class == &raw mut ffi::PyList_Type {
            self.nested(value, |walk| walk.list(value, into))
        } else if class == &raw mut ffi::PyBool_Type {
            into.tag(if value.is(&*pyo3::types::PyBool::new(self.py, true)) {
                Tag::True
            } else {
                Tag::False
            });
            Ok(())
        } else if value.is_none() {
            into.tag(Tag::None);
            Ok(())
        } else if class == &raw mut ffi::PyTuple_Type {
            self.nested(value, |walk| walk.tuple(value, into))
        } else {
            self.rarer(value, into)
        }
    }

    #[cold]
    fn pause(&self) -> PyResult<()> {
        self.py.detach(|| ());
        self.py.check_signals()
    }

    #[inline(never)]
    fn rarer(&mut self, value: &Bound<'py, PyAny>, into: &mut Encoder) -> Told {
        if let Ok(bytes) = value.cast_exact::<PyBytes>() {
            self.bytes(bytes, into);
            Ok(())
        } else if value.is_exact_instance_of::<PySet>() {
            self.nested(value, |walk| walk.set(value, Tag::Set, into))
        } else if value.is_exact_instance_of::<PyFrozenSet>() {
            self.nested(value, |walk| walk.set(value, Tag::FrozenSet, into))
        } else if let Ok(complex) = value.cast_exact::<PyComplex>() {
            into.complex(complex.real(), complex.imag());
            Ok(())
        } else if let Ok(bytes) = value.cast_exact::<PyByteArray>() {
            byte_array(bytes, into);
            Ok(())
        } else if value.is_exact_instance_of::<PyMemoryView>() {
            self.nested(value, |walk| walk.memory_view(value, into))
        } else if self.time(value, into)? {
            Ok(())
        } else {
            let types = Types::get(self.py)?;
            if types.is_decimal(value) {
                decimal(value, into)
            } else if types.is_uuid(value) {
                into.tag(Tag::Uuid);
                let int = value.getattr(pyo3::intern!(self.py, "int"))?;
                self.value(&int, into)
            } else if let Some(numpy) = types.numpy(self.py)? {
                if value.get_type().is(numpy.array(self.py)) {
                    self.nested(value, |walk| walk.array(numpy, value, into))
                } else if value.is_instance(numpy.generic(self.py))? {
                    self.array_scalar(numpy, value, into)
                } else {
                    self.nested(value, |walk| walk.reduced(value, into))
                }
            } else {
                self.nested(value, |walk| walk.reduced(value, into))
            }
        }
    }

    /// Steps into a value that holds others.
    #[inline]
    pub(super) fn nested(
        &mut self,
        value: &Bound<'py, PyAny>,
        tell: impl FnOnce(&mut Self) -> Told,
    ) -> Told {
        if self.depth >= MAX_DEPTH {
            return Err(Refusal::too_deep(value));
        }
        self.depth += 1;
        let told = tell(self);
        self.depth -= 1;
        told
    }

    /// What Python makes of a value whose type is not known here.
    #[inline(never)]
    fn reduced(&mut self, value: &Bound<'py, PyAny>, into: &mut Encoder) -> Told {
        let reduced = self.reduce.call1((value,))?;
        if let Ok(reason) = reduced.cast_exact::<PyString>() {
            return Err(Refusal::of(value, reason.to_string_lossy().into_owned()));
        }
        let parts = reduced.cast_exact::<PyTuple>().map_err(PyErr::from)?;
        let (Ok(name), Ok(attributes)) = (parts.get_item(0), parts.get_item(1)) else {
            return Err(PyTypeError::new_err("a reduction is a name and a dict").into());
        };
        let attributes = attributes
            .cast_into_exact::<PyDict>()
            .map_err(PyErr::from)?;
        into.tag(Tag::Object);
        self.text(&name, into)?;
        into.open(Tag::List, attributes.len());
        for (attribute, part) in entries(&attributes) {
            self.text(&attribute, into)?;
            self.value(&part, into)
                .map_err(|refusal| refusal.inside(value, attribute_segment(&attribute)))?;
        }
        Ok(())
    }
}

/// The entries of a dict, as they are now.
pub(super) fn entries<'py>(
    dict: &Bound<'py, PyDict>,
) -> Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let py = dict.py();
    let mut entries = Vec::with_capacity(dict.len());
    crate::py::values::any_entry(dict.as_any(), |key, value| {
        // SAFETY: the dict holds both at this moment.
        entries.push(unsafe {
            (
                Bound::from_borrowed_ptr(py, key),
                Bound::from_borrowed_ptr(py, value),
            )
        });
        false
    });
    entries
}

fn attribute_segment(attribute: &Bound<'_, PyAny>) -> String {
    match attribute.cast_exact::<PyString>() {
        Ok(name) => format!(".{}", name.to_string_lossy()),
        Err(_) => key_segment(attribute),
    }
}
