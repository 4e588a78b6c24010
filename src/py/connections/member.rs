//! What a connection pool holds.

use pyo3::prelude::*;

use crate::core::connections::{self as core, Identity};

/// A connection, told from others by where it lies, with the stack of its checkout.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) connection: Py<PyAny>,
    pub(super) stack: Option<Py<PyAny>>,
}

impl Member {
    pub(super) fn new(connection: Py<PyAny>) -> Self {
        Self {
            connection,
            stack: None,
        }
    }
}

impl Identity for Member {
    fn key(&self) -> usize {
        self.connection.as_ptr() as usize
    }
}

/// Why an attempt to connect failed: an exception.
pub(super) struct Fault(pub(super) Py<PyAny>);

pub(super) type Core = core::Pool<Member, Fault>;
