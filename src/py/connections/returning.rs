//! Bringing a connection back: the user's callables, and the pool's errors.

use pyo3::prelude::*;

use crate::core::connections::{Condition, Lease, NotOut};
use crate::py::errors;

use super::attendant::report;
use super::pool::NativeConnectionPool;

impl NativeConnectionPool {
    /// The lease of a connection that a user brings back.
    pub(super) fn lease_of(
        &self,
        py: Python<'_>,
        connection: &Bound<'_, PyAny>,
    ) -> PyResult<Lease> {
        self.core()
            .lease_of(connection.as_ptr() as usize)
            .map_err(|why| self.not_out(py, connection, why))
    }

    pub(super) fn not_out(
        &self,
        py: Python<'_>,
        connection: &Bound<'_, PyAny>,
        why: NotOut,
    ) -> PyErr {
        let was_returned = why == NotOut::AlreadyReturned;
        errors::raise(
            py,
            "ForeignConnection",
            (&self.name, connection, was_returned),
        )
    }

    /// Resets a connection and takes it back. What its hooks raise costs the
    /// connection, and is not raised unless it ends the program.
    pub(super) fn hand_back(
        &self,
        py: Python<'_>,
        lease: Lease,
        was_error: bool,
        defer: bool,
    ) -> PyResult<bool> {
        let suspect = |is_reset: bool| match (is_reset, was_error) {
            (true, false) => Condition::Good,
            (true, true) => Condition::Suspect,
            (false, false) => Condition::Unreset,
            (false, true) => Condition::UnresetSuspect,
        };
        if !self.hooks.on_return {
            return Ok(self.end(lease, suspect(true)));
        }
        let connection = self
            .core()
            .view(lease, None, |member| member.connection.clone_ref(py));
        let Some(connection) = connection else {
            return Ok(false);
        };
        let mut interruption = None;
        let mut run = |kind: &str, hook: Option<Bound<'_, PyAny>>| {
            let answer = hook.map(|hook| hook.call1((&connection,)))?;
            // What a reset returns says nothing.
            let is_asked = kind == "is_broken";
            match answer.and_then(|answer| Ok(is_asked && answer.is_truthy()?)) {
                Ok(answer) => Some(answer),
                Err(error) => {
                    if error.is_instance_of::<pyo3::exceptions::PyException>(py) {
                        report(py, &self.hooks, kind, None, Some(&error));
                    } else {
                        interruption = Some(error);
                    }
                    None
                }
            }
        };
        let predicate = self.hooks.get(py, |set| set.is_broken.as_ref());
        let has_predicate = predicate.is_some();
        let is_broken = run("is_broken", predicate).unwrap_or(has_predicate);
        let condition = if is_broken {
            Condition::Broken
        } else if !self.hooks.has_reset {
            suspect(true)
        } else if defer {
            suspect(false)
        } else {
            let reset = self.hooks.get(py, |set| set.reset.as_ref());
            match run("reset", reset) {
                Some(_) => suspect(true),
                None => Condition::Broken,
            }
        };
        drop(connection);
        let was_out = self.end(lease, condition);
        interruption.map_or(Ok(was_out), Err)
    }

    pub(super) fn bring_back(
        &self,
        py: Python<'_>,
        connection: &Bound<'_, PyAny>,
        broken: bool,
        defer: bool,
    ) -> PyResult<()> {
        let lease = self.lease_of(py, connection)?;
        let was_out = if broken {
            self.end(lease, Condition::Broken)
        } else {
            self.hand_back(py, lease, false, defer)?
        };
        if was_out {
            return Ok(());
        }
        Err(self.not_out(py, connection, NotOut::AlreadyReturned))
    }
}
