//! Does a pool's tasks on its own threads, with the user's callables.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyException, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyBool;

use crate::core::connections::{self as core, Task, Ticket};
use crate::py::engine::Ask;
use crate::py::errors;

use super::hooks::Hooks;
use super::member::{Core, Fault, Member};

pub(super) struct Attendant {
    pub(super) hooks: Arc<Hooks>,
    pub(super) name: String,
}

/// Whether a check's verdict is good: it raised nothing, and did not say `False`.
pub(super) fn verdict(answer: &PyResult<Bound<'_, PyAny>>) -> bool {
    match answer {
        Ok(answer) => !answer
            .cast::<PyBool>()
            .is_ok_and(|answer| !answer.is_true()),
        Err(_) => false,
    }
}

/// Tells the user of something that nobody asks for; a failure to do so is nobody's.
pub(super) fn report(
    py: Python<'_>,
    hooks: &Hooks,
    kind: &str,
    detail: Option<Py<PyAny>>,
    error: Option<&PyErr>,
) {
    let error = error.map(|error| errors::exception(py, error));
    if let Some(report) = hooks.get(py, |set| Some(&set.report))
        && let Err(broken) = report.invoke((kind, detail, error))
    {
        broken.write_unraisable(py, None);
    }
}

/// Checks a connection with the user's callable. An error is what ends the program,
/// such as Ctrl-C, and says nothing about the connection.
pub(super) fn is_good(
    py: Python<'_>,
    hooks: &Hooks,
    connection: &Py<PyAny>,
) -> Result<bool, PyErr> {
    let Some(check) = hooks.get(py, |set| set.check.as_ref()) else {
        return Ok(true);
    };
    let answer = check.invoke((connection,));
    let is_good = verdict(&answer);
    match answer {
        Err(error) if !error.is_instance_of::<PyException>(py) => return Err(error),
        _ if is_good => {}
        answer => lost(py, hooks, connection, answer.err().as_ref()),
    }
    Ok(is_good)
}

fn lost(py: Python<'_>, hooks: &Hooks, connection: &Py<PyAny>, error: Option<&PyErr>) {
    report(py, hooks, "lost", Some(connection.clone_ref(py)), error);
}

impl Attendant {
    fn fault(py: Python<'_>, error: &PyErr) -> Fault {
        Fault(errors::exception(py, error).into_any().unbind())
    }

    /// Refuses what is no connection.
    pub(super) fn accept<'py>(
        name: &str,
        connection: PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let connection = connection?;
        if connection.is_none() {
            return Err(PyTypeError::new_err(format!(
                "the factory of pool '{name}' returned None; it has to return a connection"
            )));
        }
        if connection.hasattr("__await__")?
            && connection.hasattr("close")?
            && connection.hasattr("send")?
        {
            connection.call_method0("close")?;
            return Err(PyTypeError::new_err(format!(
                "the factory of pool '{name}' returned a coroutine; give the pool asynchronous=True, \
                 or a coroutine function"
            )));
        }
        Ok(connection)
    }

    /// Reports the outcome of an attempt to connect.
    pub(super) fn connected(
        py: Python<'_>,
        pool: &Arc<Core>,
        hooks: &Hooks,
        name: &str,
        ticket: Ticket,
        outcome: PyResult<Bound<'_, PyAny>>,
        took: Duration,
    ) {
        let error = match Self::accept(name, outcome) {
            Ok(connection) => {
                let member = Member::new(connection.unbind());
                match pool.connected(ticket, member, took, Instant::now()) {
                    Ok(()) => return,
                    Err(twice) => {
                        let shown = twice.connection.bind(py).repr();
                        let shown = shown.map_or_else(|_| "?".into(), |shown| shown.to_string());
                        drop(twice);
                        PyTypeError::new_err(format!(
                            "the factory of pool '{name}' returned {shown}, which the pool has already; \
                             it has to make a new connection each time"
                        ))
                    }
                }
            }
            Err(error) => error,
        };
        report(py, hooks, "failed", None, Some(&error));
        pool.failed(ticket, Self::fault(py, &error), took, Instant::now());
    }

    fn connect(&self, py: Python<'_>, pool: &Arc<Core>, ticket: Ticket) {
        let began = Instant::now();
        let outcome = match self.hooks.get(py, |set| Some(&set.factory)) {
            Some(factory) => factory.invoke(()),
            None => Err(PyException::new_err("the pool is gone")),
        };
        Self::connected(
            py,
            pool,
            &self.hooks,
            &self.name,
            ticket,
            outcome,
            began.elapsed(),
        );
    }

    fn close(&self, py: Python<'_>, member: Member) {
        if let Some(close) = self.hooks.get(py, |set| Some(&set.close))
            && let Err(error) = close.invoke((member.connection.bind(py),))
        {
            report(py, &self.hooks, "close", None, Some(&error));
        }
        drop(member);
    }

    fn reset(&self, py: Python<'_>, member: &Member) -> bool {
        let Some(reset) = self.hooks.get(py, |set| set.reset.as_ref()) else {
            return true;
        };
        match reset.invoke((member.connection.bind(py),)) {
            Ok(_) => true,
            Err(error) => {
                report(py, &self.hooks, "reset", None, Some(&error));
                false
            }
        }
    }

    fn work(&self, py: Python<'_>, pool: &Arc<Core>, task: Task<Member>) {
        match task {
            Task::Connect(ticket) => self.connect(py, pool, ticket),
            Task::Check(ticket, member) => {
                let found = is_good(py, &self.hooks, &member.connection);
                let is_good = found.unwrap_or_else(|error| {
                    // There is no program of this thread's to end.
                    lost(py, &self.hooks, &member.connection, Some(&error));
                    false
                });
                pool.checked(ticket, member, is_good, Instant::now());
            }
            Task::Reset(ticket, member) => {
                let is_good = self.reset(py, &member);
                pool.was_reset(ticket, member, is_good, Instant::now());
            }
            Task::Close(member) => {
                self.close(py, member);
                pool.done();
            }
            other => chores(py, pool, &self.hooks, &other),
        }
        if pool.is_wound_up() {
            self.hooks.let_go();
        }
    }
}

/// Tasks that are the same on threads and on an event loop.
pub(super) fn chores(py: Python<'_>, pool: &Arc<Core>, hooks: &Hooks, task: &Task<Member>) {
    match task {
        Task::ReportLeak(lease, held) => {
            let seen = pool.view(*lease, None, |member| {
                let stack = member.stack.as_ref().map(|stack| stack.clone_ref(py));
                (member.connection.clone_ref(py), stack)
            });
            if let Some((connection, stack)) = seen {
                let detail = (connection, stack, held.as_secs_f64()).into_pyobject(py);
                let detail = detail.ok().map(|detail| detail.into_any().unbind());
                report(py, hooks, "leak", detail, None);
            }
        }
        Task::Sweep => {
            let found = super::dropped::sweep(py, pool);
            if found > 0 {
                let found = found.into_pyobject(py).ok();
                report(
                    py,
                    hooks,
                    "dropped",
                    found.map(|found| found.into_any().unbind()),
                    None,
                );
            }
        }
        Task::ReportFailures => {
            let error = pool.last_error(|fault| fault.0.clone_ref(py));
            report(py, hooks, "reconnect", error, None);
        }
        Task::Connect(_) | Task::Check(..) | Task::Reset(..) | Task::Close(_) => {}
    }
    pool.done();
}

impl core::Attendant<Member, Fault> for Attendant {
    fn attend(&self, pool: &Arc<Core>, task: Task<Member>) {
        let mut task = Some(task);
        Python::try_attach(|py| {
            if let Some(task) = task.take() {
                self.work(py, pool, task);
            }
        });
        // The interpreter is gone, and with it whoever could close a connection.
        std::mem::forget(task);
    }
}
