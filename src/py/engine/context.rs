//! Context variables of a run: one context for all of its nodes.
//!
//! The calling thread enters a copy of its own context for the length of the
//! run, as an asyncio task would: what a node sets, later nodes see, and the
//! caller's own context stays as it was. A context cannot be entered by two
//! threads, so each node that runs on a worker gets a copy, and what it set is
//! carried back to the run before the next node starts.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::PyLookupError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::core::locks::Mutex;

use super::hang::check_status;

pub(crate) struct RunContext {
    context: Py<PyAny>,
    /// What the caller is handling: the context of exceptions in nodes.
    handled: Option<Py<PyAny>>,
    changes: Mutex<Vec<(Py<PyAny>, Py<PyAny>)>>,
    changed: AtomicBool,
}

/// Leaves a context when dropped.
pub(crate) struct Entered<'py> {
    context: Bound<'py, PyAny>,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        // SAFETY: this context was entered on this thread and is its current one.
        let status = unsafe { ffi::PyContext_Exit(self.context.as_ptr()) };
        if status < 0 {
            PyErr::fetch(self.context.py()).write_unraisable(self.context.py(), None);
        }
    }
}

fn enter<'py>(context: &Bound<'py, PyAny>) -> PyResult<Entered<'py>> {
    // SAFETY: `context` is a context object; attached.
    check_status(context.py(), unsafe {
        ffi::PyContext_Enter(context.as_ptr())
    })?;
    Ok(Entered {
        context: context.clone(),
    })
}

impl RunContext {
    /// A copy of the calling thread's context.
    pub(crate) fn copy_current(py: Python<'_>) -> PyResult<Self> {
        // SAFETY: attached; returns a new reference or null with an error set.
        let context = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent())? };
        // SAFETY: attached; a new reference, or null where nothing is handled.
        let handled = unsafe { Bound::from_owned_ptr_or_opt(py, ffi::PyErr_GetHandledException()) };
        Ok(Self {
            context: context.unbind(),
            handled: handled.map(Bound::unbind),
            changes: Mutex::new(Vec::new()),
            changed: AtomicBool::new(false),
        })
    }

    /// The same for nodes that run away from the caller: what it is handling is
    /// no context of theirs.
    pub(crate) fn copy_current_apart(py: Python<'_>) -> PyResult<Self> {
        let mut context = Self::copy_current(py)?;
        context.handled = None;
        Ok(context)
    }

    /// Whether the calling thread is handling an exception.
    pub(crate) fn is_handling(_py: Python<'_>) -> bool {
        // SAFETY: attached; a new reference, or null where nothing is handled.
        let handled = unsafe { ffi::PyErr_GetHandledException() };
        if handled.is_null() {
            return false;
        }
        // SAFETY: the reference is ours; `None` stands for nothing.
        unsafe {
            let is_exception = handled != ffi::Py_None();
            ffi::Py_DECREF(handled);
            is_exception
        }
    }

    pub(crate) fn object(&self, py: Python<'_>) -> Py<PyAny> {
        self.context.clone_ref(py)
    }

    pub(crate) fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.context)?;
        visit.call(&self.handled)
    }

    /// Makes this the calling thread's context until the guard is dropped.
    pub(crate) fn enter<'py>(&self, py: Python<'py>) -> PyResult<Entered<'py>> {
        enter(self.context.bind(py))
    }

    /// Takes over what nodes on workers have set since.
    pub(crate) fn catch_up(&self, py: Python<'_>) -> PyResult<()> {
        if self.changed.load(Ordering::Acquire) {
            self.changed.store(false, Ordering::Release);
            let changes = std::mem::take(&mut *self.changes.lock());
            for (variable, value) in changes {
                variable.call_method1(py, "set", (value,))?;
            }
        }
        Ok(())
    }

    fn copy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        // SAFETY: attached; `self.context` is a context object.
        unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_Copy(self.context.as_ptr())) }
    }

    /// Runs `node` on a worker thread in a copy of the run's context.
    pub(crate) fn run_copied<R>(&self, py: Python<'_>, node: impl FnOnce() -> R) -> PyResult<R> {
        let own = self.copy(py)?;
        let pending: Vec<_> = if self.changed.load(Ordering::Acquire) {
            let changes = self.changes.lock();
            changes
                .iter()
                .map(|(variable, value)| (variable.clone_ref(py), value.clone_ref(py)))
                .collect()
        } else {
            Vec::new()
        };
        let entered = enter(&own)?;
        for (variable, value) in pending {
            variable.call_method1(py, "set", (value,))?;
        }
        // SAFETY: attached; the copy of a context costs one allocation.
        let before =
            unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_Copy(own.as_ptr()))? };
        self.handle(py, true);
        let result = node();
        self.handle(py, false);
        drop(entered);
        self.carry_back(&own, &before)?;
        Ok(result)
    }

    /// Runs `node` on a worker thread in a copy of the run's context; what it
    /// sets is its own.
    pub(crate) fn run_apart<R>(&self, py: Python<'_>, node: impl FnOnce() -> R) -> PyResult<R> {
        let own = self.copy(py)?;
        let _entered = enter(&own)?;
        Ok(node())
    }

    /// Runs `node` as a thread of its own would that was given a copy of the
    /// calling thread's context: what it sets is its own, and nothing is being
    /// handled.
    pub(crate) fn run_as_if_elsewhere<R>(py: Python<'_>, node: impl FnOnce() -> R) -> PyResult<R> {
        // SAFETY: attached; returns a new reference or null with an error set.
        let own = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent())? };
        let _entered = enter(&own)?;
        // SAFETY: attached; a new reference, or null where nothing is handled.
        let handled = unsafe { Bound::from_owned_ptr_or_opt(py, ffi::PyErr_GetHandledException()) };
        // SAFETY: attached; null stands for nothing.
        unsafe { ffi::PyErr_SetHandledException(std::ptr::null_mut()) }
        let result = node();
        let handled = handled.map_or(std::ptr::null_mut(), |handled| handled.as_ptr());
        // SAFETY: attached; takes a borrowed exception or null.
        unsafe { ffi::PyErr_SetHandledException(handled) }
        Ok(result)
    }

    /// Lets a worker handle what the caller handles, or nothing again.
    fn handle(&self, _py: Python<'_>, begin: bool) {
        if let Some(handled) = &self.handled {
            let handled = if begin {
                handled.as_ptr()
            } else {
                std::ptr::null_mut()
            };
            // SAFETY: attached; takes a borrowed exception or null.
            unsafe { ffi::PyErr_SetHandledException(handled) }
        }
    }

    /// Keeps what a node has set, told by identity: contexts compare their
    /// values, and an equal value may be another object.
    fn carry_back(&self, own: &Bound<'_, PyAny>, before: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut changes = Vec::new();
        for item in own.call_method0("items")?.try_iter()? {
            let item = item?.cast_into::<PyTuple>()?;
            let (variable, value) = (item.get_item(0)?, item.get_item(1)?);
            let unchanged = match before.get_item(&variable) {
                Ok(old) => old.is(&value),
                Err(error) if error.is_instance_of::<PyLookupError>(own.py()) => false,
                Err(error) => return Err(error),
            };
            if !unchanged {
                changes.push((variable.unbind(), value.unbind()));
            }
        }
        if !changes.is_empty() {
            let mut kept = self.changes.lock();
            // One entry a variable: every node is given all of them.
            let replaced: Vec<_> = kept
                .extract_if(.., |(old, _)| changes.iter().any(|(new, _)| new.is(&*old)))
                .collect();
            kept.append(&mut changes);
            drop(kept);
            self.changed.store(true, Ordering::Release);
            drop(replaced);
        }
        Ok(())
    }
}
