//! Has a pool's tasks done on an event loop, where its callables are coroutine
//! functions.

use std::sync::Arc;
use std::time::Instant;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::core::connections::{Driver, Task, Waiter, Wake};
use crate::core::locks::Mutex;
use crate::core::threads::fork_generation;
use crate::py::engine::LoopMailbox;

use super::attendant::{Attendant, report};
use super::hooks::Hooks;
use super::member::{Core, Fault, Member};

/// Calls a callback on an event loop.
pub(super) struct LoopBell {
    pub(super) mailbox: Py<LoopMailbox>,
    pub(super) callback: Py<PyAny>,
}

impl Wake for LoopBell {
    fn wake(&self) -> bool {
        let heard = Python::try_attach(|py| {
            let callback = self.callback.clone_ref(py);
            match LoopMailbox::post(self.mailbox.bind(py), callback) {
                Ok(is_heard) => is_heard,
                Err(error) => {
                    error.write_unraisable(py, None);
                    true
                }
            }
        });
        heard.unwrap_or(true)
    }
}

/// A place among those who are told that a pool has changed, until it is dropped.
#[pyclass(frozen, module = "nexus_core._core", name = "_Onlooker")]
pub(crate) struct Onlooker {
    core: Arc<Core>,
    place: Arc<Waiter<()>>,
    era: u64,
}

impl Onlooker {
    pub(super) fn new(core: Arc<Core>, bell: Box<dyn Wake>) -> Self {
        let place = core.look_on(Some(bell), Instant::now());
        Self {
            core,
            place,
            era: fork_generation(),
        }
    }
}

impl Drop for Onlooker {
    fn drop(&mut self) {
        // A forked child leaves the parent's alone.
        if self.era == fork_generation() {
            self.core.look_away(&self.place);
        }
    }
}

/// Tells the loop, once the pool has one, that there is something to do.
pub(super) struct LoopDriver {
    pub(super) hooks: Arc<Hooks>,
}

impl Driver<Member, Fault> for LoopDriver {
    fn rouse(&self, _pool: &Arc<Core>) {
        Python::try_attach(|py| {
            if let Some((mailbox, pump)) = self.hooks.home(py)
                && let Err(error) = LoopMailbox::post(mailbox.bind(py), pump)
            {
                error.write_unraisable(py, None);
            }
        });
    }
}

/// A task of a pool's, for its event loop. One that is dropped undone has failed.
#[pyclass(frozen, module = "nexus_core._core")]
pub(crate) struct PoolTask {
    core: Arc<Core>,
    hooks: Arc<Hooks>,
    name: String,
    task: Mutex<Option<Task<Member>>>,
    began: Instant,
}

impl PoolTask {
    pub(super) fn new(
        core: Arc<Core>,
        hooks: Arc<Hooks>,
        name: String,
        task: Task<Member>,
    ) -> Self {
        Self {
            core,
            hooks,
            name,
            task: Mutex::new(Some(task)),
            began: Instant::now(),
        }
    }

    fn take(&self) -> PyResult<Task<Member>> {
        let task = self.task.lock().take();
        task.ok_or_else(|| PyRuntimeError::new_err("this task is done already"))
    }

    fn finish(&self, py: Python<'_>, task: Task<Member>, outcome: PyResult<Bound<'_, PyAny>>) {
        let core = &self.core;
        let now = Instant::now();
        match task {
            Task::Connect(ticket) => {
                let took = now.saturating_duration_since(self.began);
                Attendant::connected(py, core, &self.hooks, &self.name, ticket, outcome, took);
            }
            Task::Check(ticket, member) => {
                let is_good = super::attendant::verdict(&outcome);
                if !is_good {
                    let shown = member.connection.clone_ref(py);
                    report(py, &self.hooks, "lost", Some(shown), outcome.err().as_ref());
                }
                core.checked(ticket, member, is_good, now);
            }
            Task::Reset(ticket, member) => {
                if let Err(error) = &outcome {
                    report(py, &self.hooks, "reset", None, Some(error));
                }
                core.was_reset(ticket, member, outcome.is_ok(), now);
            }
            Task::Close(member) => {
                if let Err(error) = &outcome {
                    report(py, &self.hooks, "close", None, Some(error));
                }
                drop(member);
                core.done();
            }
            other => super::attendant::chores(py, core, &self.hooks, &other),
        }
        if core.is_wound_up() {
            self.hooks.let_go();
        }
    }
}

#[pymethods]
impl PoolTask {
    /// What to do: "connect", "check", "reset" or "close".
    #[getter]
    fn kind(&self) -> &'static str {
        match &*self.task.lock() {
            Some(Task::Connect(_)) => "connect",
            Some(Task::Check(..)) => "check",
            Some(Task::Reset(..)) => "reset",
            Some(Task::Close(_)) => "close",
            Some(_) => "chore",
            None => "done",
        }
    }

    /// The connection that it is about.
    #[getter]
    fn connection(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        match &*self.task.lock() {
            Some(Task::Check(_, member) | Task::Reset(_, member) | Task::Close(member)) => {
                Some(member.connection.clone_ref(py))
            }
            _ => None,
        }
    }

    /// It was done, with this result.
    #[pyo3(signature = (result=None))]
    fn done(&self, py: Python<'_>, result: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let task = self.take()?;
        let result = result.unwrap_or_else(|| py.None().into_bound(py));
        self.finish(py, task, Ok(result));
        Ok(())
    }

    /// It failed.
    fn failed(&self, py: Python<'_>, error: Bound<'_, PyAny>) -> PyResult<()> {
        let task = self.take()?;
        self.finish(py, task, Err(PyErr::from_value(error)));
        Ok(())
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        if let Some(task) = self.task.try_lock()
            && let Some(Task::Check(_, member) | Task::Reset(_, member) | Task::Close(member)) =
                &*task
        {
            visit.call(&member.connection)?;
        }
        Ok(())
    }
}

impl Drop for PoolTask {
    fn drop(&mut self) {
        let Some(task) = self.task.lock().take() else {
            return;
        };
        let mut task = Some(task);
        Python::try_attach(|py| {
            if let Some(task) = task.take() {
                let error = PyRuntimeError::new_err("the event loop gave this task up");
                self.finish(py, task, Err(error));
            }
        });
        std::mem::forget(task);
    }
}
