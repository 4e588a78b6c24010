//! What a pool holds: a Python object, told from others by where it lies.

use pyo3::prelude::*;

use crate::core::connections::Identity;

pub(super) struct Item(pub(super) Py<PyAny>);

impl Identity for Item {
    fn key(&self) -> usize {
        self.0.as_ptr() as usize
    }
}
