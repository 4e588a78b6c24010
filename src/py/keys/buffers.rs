//! Bytes, and views of memory.

use super::{
    LARGE,
    refusal::{Refusal, Told},
    walk::Walk,
};
use crate::core::keys::{Encoder, Tag};
use pyo3::{
    buffer::PyUntypedBuffer,
    intern,
    prelude::*,
    sync::critical_section::with_critical_section,
    types::{PyByteArray, PyBytes},
};

impl<'py> Walk<'_, 'py> {
    pub(super) fn bytes(&mut self, bytes: &Bound<'py, PyBytes>, into: &mut Encoder) {
        self.unchanging(bytes.as_bytes(), Tag::Bytes, into);
    }

    /// Bytes that nobody else can change: the lock is not needed for many of them.
    fn unchanging(&mut self, bytes: &[u8], tag: Tag, into: &mut Encoder) {
        if bytes.len() < LARGE {
            into.bytes(tag, bytes);
        } else {
            self.py.detach(|| into.bytes(tag, bytes));
        }
    }

    /// A view is told by what it shows, not by whose memory that is.
    #[inline(never)]
    pub(super) fn memory_view(&mut self, view: &Bound<'py, PyAny>, into: &mut Encoder) -> Told {
        let py = self.py;
        let buffer = PyUntypedBuffer::get(view)
            .map_err(|error| Refusal::of(view, error.value(py).to_string()))?;
        let format = buffer.format().to_bytes();
        if format.iter().any(|code| matches!(code, b'O' | b'P' | b'&')) {
            return Err(Refusal::of(view, "it shows addresses"));
        }
        into.tag(Tag::MemoryView);
        into.text1(format);
        into.open(Tag::Tuple, buffer.shape().len());
        for &size in buffer.shape() {
            into.int(size.cast_signed() as i64);
        }
        if buffer.is_c_contiguous() {
            into.bytes(Tag::Bytes, contiguous(&buffer));
        } else {
            let copy = view.call_method0(intern!(py, "tobytes"))?;
            let copy = copy.cast_exact::<PyBytes>().map_err(PyErr::from)?;
            self.unchanging(copy.as_bytes(), Tag::Bytes, into);
        }
        Ok(())
    }

    /// The memory of a contiguous array of bytes; `ours` if nobody else has it.
    pub(super) fn memory(
        &mut self,
        bytes: &Bound<'py, PyAny>,
        ours: bool,
        into: &mut Encoder,
    ) -> Told {
        let buffer = PyUntypedBuffer::get(bytes)?;
        let memory = contiguous(&buffer);
        if ours {
            self.unchanging(memory, Tag::Bytes, into);
        } else {
            into.bytes(Tag::Bytes, memory);
        }
        Ok(())
    }
}

pub(super) fn byte_array(bytes: &Bound<'_, PyByteArray>, into: &mut Encoder) {
    with_critical_section(bytes, || {
        // SAFETY: the thread stays attached, runs no Python code, and holds
        // the object's lock where there is no GIL, until the slice is gone.
        into.bytes(Tag::ByteArray, unsafe { bytes.as_bytes() });
    });
}

/// The memory of a contiguous buffer. It is read while the thread stays
/// attached, or while nobody else has it.
fn contiguous(buffer: &PyUntypedBuffer) -> &[u8] {
    let start = buffer.buf_ptr().cast::<u8>().cast_const();
    let length = buffer.len_bytes();
    if length == 0 || start.is_null() {
        return &[];
    }
    // SAFETY: the buffer is contiguous, so so many bytes follow its start; its
    // owner keeps them there until the buffer is released.
    unsafe { std::slice::from_raw_parts(start, length) }
}
