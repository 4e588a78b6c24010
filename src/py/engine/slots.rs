//! Where a run keeps what its nodes return.

use std::cell::UnsafeCell;

use pyo3::prelude::*;

/// One place a node, filled once by the thread that ran the node.
pub(crate) struct Slots(Box<[UnsafeCell<Option<Py<PyAny>>>]>);

// SAFETY: a slot is written by the one thread that was given its node, before
// that thread reports the node finished. It is read, or emptied, only by a
// thread that was given a dependent node after that report, or after the run;
// both are ordered by the run's lock, or are the same thread.
unsafe impl Sync for Slots {}

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        Self((0..count).map(|_| UnsafeCell::new(None)).collect())
    }

    /// # Safety
    /// Only for the thread that runs `node`.
    #[inline]
    pub(crate) unsafe fn fill(&self, node: u32, value: Py<PyAny>) {
        // SAFETY: see `Sync` above; nobody else touches this slot now.
        unsafe { *self.0[node as usize].get() = Some(value) }
    }

    /// # Safety
    /// Only after `node` has finished, and while nobody empties its slot.
    #[inline]
    pub(crate) unsafe fn get(&self, node: u32) -> Option<&Py<PyAny>> {
        // SAFETY: see `Sync` above.
        unsafe { (*self.0[node as usize].get()).as_ref() }
    }

    /// # Safety
    /// Only after `node` and every node that reads it have finished.
    #[inline]
    pub(crate) unsafe fn take(&self, node: u32) -> Option<Py<PyAny>> {
        // SAFETY: see `Sync` above.
        unsafe { (*self.0[node as usize].get()).take() }
    }
}
