//! A file's content as memory that may be written to, without the file being changed.
//!
//! Python's `mmap` keeps a descriptor for as long as the memory is used, and a process has few.

use std::ffi::{c_int, c_void};
use std::os::fd::RawFd;
use std::ptr::NonNull;

use pyo3::exceptions::{PyMemoryError, PyOSError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;

/// Memory that goes with the last object that uses it.
#[pyclass(frozen, module = "nexus_core", name = "_PrivateMapping")]
pub(crate) struct PrivateMapping {
    start: NonNull<c_void>,
    length: usize,
}

// SAFETY: the memory belongs to the mapping alone; what is written there goes through Python's
// buffers, whose users see to it themselves, as with any.
unsafe impl Send for PrivateMapping {}
// SAFETY: as above.
unsafe impl Sync for PrivateMapping {}

#[pymethods]
impl PrivateMapping {
    /// `length`: in bytes, which the file must have; the descriptor is not needed any more.
    #[new]
    fn new(descriptor: RawFd, length: usize) -> PyResult<Self> {
        if length == 0 {
            return Err(PyValueError::new_err("nothing cannot be mapped"));
        }
        // SAFETY: a new mapping, of which the system chooses the place.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE,
                descriptor,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            let error = std::io::Error::last_os_error();
            return Err(if error.raw_os_error() == Some(libc::ENOMEM) {
                PyMemoryError::new_err(())
            } else {
                PyErr::new::<PyOSError, _>((error.raw_os_error(), error.to_string()))
            });
        }
        let start = NonNull::new(start).ok_or_else(|| PyMemoryError::new_err(()))?;
        Ok(Self { start, length })
    }

    fn __len__(&self) -> usize {
        self.length
    }

    /// # Safety
    /// Called by Python with a view that is to be filled.
    #[allow(clippy::needless_pass_by_value)] // as pyo3 has it
    unsafe fn __getbuffer__(
        slf: PyRef<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let length = ffi::Py_ssize_t::try_from(slf.length)
            .map_err(|_| PyValueError::new_err("more than a buffer can have"))?;
        // SAFETY: `view` is Python's; the memory lives as long as the object that it keeps.
        let status = unsafe {
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), slf.start.as_ptr(), length, 0, flags)
        };
        if status == 0 {
            Ok(())
        } else {
            Err(PyErr::fetch(slf.py()))
        }
    }
}

impl Drop for PrivateMapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and nobody uses it any more: buffers keep the object.
        unsafe { libc::munmap(self.start.as_ptr(), self.length) };
    }
}
