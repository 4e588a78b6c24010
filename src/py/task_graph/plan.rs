//! What a graph's runs share: the nodes' callables and arguments, in topological
//! order, and what is known of their durations.

use std::sync::Arc;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping, PyString, PyTuple};

use crate::core::graph::TaskDag;
use crate::core::schedule::LearnedDurations;
use crate::py::errors::raise;

use super::arguments::Argument;
use super::tokens::Ref;

/// One node: what is called, and where its arguments stand in the plan's list.
pub(super) struct Task {
    pub(super) callable: Py<PyAny>,
    pub(super) first: u32,
    pub(super) positional: u32,
    pub(super) keywords: Option<Py<PyTuple>>,
}

impl Task {
    pub(super) fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            callable: self.callable.clone_ref(py),
            first: self.first,
            positional: self.positional,
            keywords: self.keywords.as_ref().map(|names| names.clone_ref(py)),
        }
    }
}

/// Everything that does not change from run to run, nodes in topological order.
///
/// A Python object, though nobody sees it: the garbage collector then knows all
/// who share it, and takes runs in flight for references from outside.
#[pyclass(frozen, module = "nexus_core")]
pub(super) struct Plan {
    pub(super) dag: Arc<TaskDag>,
    pub(super) names: Vec<Py<PyString>>,
    pub(super) tasks: Vec<Task>,
    pub(super) arguments: Vec<Argument>,
    /// Input names with their defaults.
    inputs: Vec<(Py<PyString>, Option<Py<PyAny>>)>,
    pub(super) durations: Arc<LearnedDurations>,
    numbers: std::sync::OnceLock<Py<PyDict>>,
}

impl Plan {
    pub(super) fn new(
        dag: TaskDag,
        names: Vec<Py<PyString>>,
        tasks: Vec<Task>,
        arguments: Vec<Argument>,
        inputs: Vec<(Py<PyString>, Option<Py<PyAny>>)>,
    ) -> Self {
        let durations = Arc::new(LearnedDurations::new(dag.node_count()));
        Self {
            dag: Arc::new(dag),
            names,
            tasks,
            arguments,
            inputs,
            durations,
            numbers: std::sync::OnceLock::new(),
        }
    }

    #[inline]
    pub(super) fn arguments_of(&self, task: &Task) -> &[Argument] {
        let keywords = task.keywords.as_ref().map_or(0, |names| {
            // SAFETY: `names` is a tuple; its length never changes.
            unsafe { pyo3::ffi::PyTuple_GET_SIZE(names.as_ptr()).cast_unsigned() }
        });
        let first = task.first as usize;
        &self.arguments[first..first + task.positional as usize + keywords]
    }

    pub(super) fn name(&self, py: Python<'_>, node: u32) -> Py<PyString> {
        self.names[node as usize].clone_ref(py)
    }

    /// The position of a node given by name or as a `Ref`.
    pub(super) fn number(&self, name: &Bound<'_, PyAny>) -> PyResult<u32> {
        let py = name.py();
        let numbers = if let Some(numbers) = self.numbers.get() {
            numbers
        } else {
            let numbers = PyDict::new(py);
            for (number, name) in self.names.iter().enumerate() {
                numbers.set_item(name, number)?;
            }
            self.numbers.get_or_init(|| numbers.unbind())
        };
        let name = match name.cast_exact::<Ref>() {
            Ok(reference) => reference.get().name.bind(py).as_any(),
            Err(_) => name,
        };
        match numbers.bind(py).get_item(name)? {
            Some(number) => number.extract(),
            None => Err(raise(py, "UnknownNode", (name.clone(), py.None()))),
        }
    }

    pub(super) fn bind_inputs(
        &self,
        py: Python<'_>,
        given: Option<&Bound<'_, PyMapping>>,
    ) -> PyResult<Vec<Py<PyAny>>> {
        let mut values = Vec::with_capacity(self.inputs.len());
        let mut missing = Vec::new();
        let mut used = 0;
        for (name, default) in &self.inputs {
            let name = name.bind(py);
            let value = match given {
                Some(given) if given.contains(name)? => {
                    used += 1;
                    Some(given.get_item(name)?.unbind())
                }
                _ => default.as_ref().map(|value| value.clone_ref(py)),
            };
            match value {
                Some(value) => values.push(value),
                None => missing.push(name.clone()),
            }
        }
        if !missing.is_empty() {
            return Err(raise(py, "MissingInput", (PyTuple::new(py, missing)?,)));
        }
        if let Some(given) = given
            && given.len()? != used
        {
            let known = PyTuple::new(py, self.inputs.iter().map(|(name, _)| name))?;
            let unknown: Vec<_> = given
                .keys()?
                .iter()
                .filter(|key| !known.contains(key).unwrap_or(false))
                .collect();
            return Err(raise(
                py,
                "UnknownInput",
                (PyTuple::new(py, unknown)?, known),
            ));
        }
        Ok(values)
    }

    /// One duration a node, in seconds: given by name, or learned.
    pub(super) fn durations(
        &self,
        py: Python<'_>,
        given: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<f64>> {
        let Some(given) = given else {
            if (0..self.names.len() as u32).all(|node| self.durations.get(node).is_none()) {
                return Err(raise(py, "NoDurations", ()));
            }
            return Ok(self.durations.all());
        };
        let Ok(given) = given.cast::<PyMapping>() else {
            return Err(PyTypeError::new_err(format!(
                "durations must be a mapping of node name to seconds, got {}",
                given.repr()?
            )));
        };
        let mut durations = vec![f64::NAN; self.names.len()];
        for item in given.items()?.iter() {
            let (name, given): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
            let number = self.number(&name)? as usize;
            let Ok(seconds) = given.extract() else {
                return Err(PyTypeError::new_err(format!(
                    "the duration of node {} must be in seconds, got {}",
                    name.repr()?,
                    given.repr()?
                )));
            };
            durations[number] = seconds;
        }
        if let Some(node) = (0..durations.len()).find(|&node| {
            durations[node].is_nan() && !given.contains(&self.names[node]).unwrap_or(false)
        }) {
            return Err(PyValueError::new_err(format!(
                "durations lacks node {}; give seconds for every node",
                self.names[node].bind(py).repr()?
            )));
        }
        Ok(durations)
    }
}

#[pymethods]
impl Plan {
    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        for task in &self.tasks {
            visit.call(&task.callable)?;
        }
        for argument in &self.arguments {
            argument.traverse(&visit)?;
        }
        for (_, default) in &self.inputs {
            visit.call(default)?;
        }
        Ok(())
    }
}
