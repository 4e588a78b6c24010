//! The Python side of a run. A short run that needs nothing of it has none.

use std::sync::{OnceLock, Weak};

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use crate::py::engine::{Ask, Execution};

use super::program::WorkflowProgram;
use super::run::WorkflowRun;

/// Asked where Kailash's own functions have to decide.
pub(super) struct Host {
    object: OnceLock<Py<PyAny>>,
    later: Option<Later>,
}

/// A host that is made when it is first asked for something.
struct Later {
    make: Py<PyAny>,
    /// What it is called with, before the run.
    arguments: [Py<PyAny>; 4],
    execution: OnceLock<Weak<Execution<WorkflowProgram>>>,
}

impl Later {
    fn make(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let execution = self.execution.get().and_then(Weak::upgrade);
        let Some(execution) = execution else {
            return Err(PyRuntimeError::new_err("the run is over"));
        };
        let run = Bound::new(py, WorkflowRun::of(execution))?;
        let [runtime, workflow, compiled, variables] = &self.arguments;
        let made = self.make.bind(py);
        made.invoke((runtime, workflow, compiled, variables, run))
            .map(Bound::unbind)
    }
}

impl From<Py<PyAny>> for Host {
    fn from(object: Py<PyAny>) -> Self {
        Self {
            object: OnceLock::from(object),
            later: None,
        }
    }
}

impl Host {
    /// One that `make` is called for, with `arguments` and the run, once it is needed.
    pub(super) fn later(make: Py<PyAny>, arguments: [Py<PyAny>; 4]) -> Self {
        Self {
            object: OnceLock::new(),
            later: Some(Later {
                make,
                arguments,
                execution: OnceLock::new(),
            }),
        }
    }

    /// Which run it is the host of, if it is still to be made.
    pub(super) fn serves(&self, execution: Weak<Execution<WorkflowProgram>>) {
        if let Some(later) = &self.later {
            let _only_once = later.execution.set(execution);
        }
    }

    /// The host, if there is one.
    pub(super) fn made(&self) -> Option<&Py<PyAny>> {
        self.object.get()
    }

    /// The host, made if need be.
    pub(super) fn get(&self, py: Python<'_>) -> PyResult<&Py<PyAny>> {
        if let Some(object) = self.object.get() {
            return Ok(object);
        }
        let Some(later) = &self.later else {
            return Err(PyRuntimeError::new_err("the run has no host"));
        };
        let made = later.make(py)?;
        Ok(self.object.get_or_init(|| made))
    }

    /// The workflow whose run it is.
    pub(super) fn workflow<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        let known = self.later.as_ref().map(|later| &later.arguments[1]);
        match (known, self.made()) {
            (Some(workflow), _) => workflow.bind(py).clone(),
            (None, Some(host)) => {
                let workflow = host.bind(py).getattr(intern!(py, "workflow"));
                workflow.unwrap_or_else(|_| py.None().into_bound(py))
            }
            (None, None) => py.None().into_bound(py),
        }
    }

    pub(super) fn bind<'a, 'py>(&'a self, py: Python<'py>) -> BoundHost<'a, 'py> {
        BoundHost { host: self, py }
    }

    pub(super) fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        if let Some(object) = self.object.get() {
            visit.call(object)?;
        }
        if let Some(later) = &self.later {
            visit.call(&later.make)?;
            for argument in &later.arguments {
                visit.call(argument)?;
            }
        }
        Ok(())
    }
}

/// A host, by an attached thread.
pub(super) struct BoundHost<'a, 'py> {
    host: &'a Host,
    py: Python<'py>,
}

impl<'py> BoundHost<'_, 'py> {
    /// Calls a method.
    pub(super) fn ask<N, A>(&self, method: N, args: A) -> PyResult<Bound<'py, PyAny>>
    where
        N: IntoPyObject<'py, Target = PyString>,
        A: IntoPyObject<'py, Target = PyTuple>,
    {
        self.host.get(self.py)?.bind(self.py).ask(method, args)
    }
}
