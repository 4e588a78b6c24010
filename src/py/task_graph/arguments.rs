//! A node's arguments with the places that other nodes' results go to.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use crate::py::engine::Slots;

use super::tokens::{Input, Ref};

/// One argument, resolved to node and input numbers.
pub(super) enum Argument {
    Constant(Py<PyAny>),
    Node(u32),
    Input(u32),
    Nested(Box<Nested>),
}

/// A container that holds references somewhere inside; built anew each run.
pub(super) enum Nested {
    List(Vec<Argument>),
    Tuple(Vec<Argument>),
    Dict(Vec<(Py<PyAny>, Argument)>),
}

/// Turns names into numbers while a graph is compiled.
pub(super) trait Names {
    fn node(&mut self, name: &Bound<'_, PyString>) -> PyResult<u32>;
    fn input(&mut self, input: &Input, py: Python<'_>) -> PyResult<u32>;
}

/// Containers around a reference, at the most: data that holds itself must not
/// be followed for ever.
const DEEPEST: usize = 64;

impl Argument {
    pub(super) fn compile(value: &Bound<'_, PyAny>, names: &mut dyn Names) -> PyResult<Self> {
        Self::compile_at(value, names, 0)
    }

    fn compile_at(value: &Bound<'_, PyAny>, names: &mut dyn Names, depth: usize) -> PyResult<Self> {
        let py = value.py();
        if let Ok(reference) = value.cast_exact::<Ref>() {
            return Ok(Self::Node(names.node(reference.get().name.bind(py))?));
        }
        if let Ok(input) = value.cast_exact::<Input>() {
            return Ok(Self::Input(names.input(input.get(), py)?));
        }
        if !holds_reference(value)? {
            return Ok(Self::Constant(value.clone().unbind()));
        }
        if depth == DEEPEST {
            let text = format!(
                "an argument holds a Ref or Input under more than {DEEPEST} containers, or holds \
                 itself; pass it as an argument of its own"
            );
            return Err(crate::py::errors::raise(py, "GraphError", (text,)));
        }
        let nested = if let Ok(list) = value.cast_exact::<PyList>() {
            Nested::List(compile_all(list.iter(), names, depth + 1)?)
        } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
            Nested::Tuple(compile_all(tuple.iter(), names, depth + 1)?)
        } else {
            let dict = value.cast_exact::<PyDict>()?;
            let items: PyResult<Vec<_>> = dict
                .iter()
                .map(|(key, item)| Ok((key.unbind(), Self::compile_at(&item, names, depth + 1)?)))
                .collect();
            Nested::Dict(items?)
        };
        Ok(Self::Nested(Box::new(nested)))
    }

    /// The value for one run.
    ///
    /// # Safety
    /// Every node this argument refers to has finished.
    pub(super) unsafe fn resolve<'py>(
        &self,
        py: Python<'py>,
        slots: &Slots,
        inputs: &[Py<PyAny>],
    ) -> PyResult<Bound<'py, PyAny>> {
        // SAFETY: for each `resolve` and `get` below: passed on from the caller.
        unsafe {
            match self {
                Self::Constant(value) => Ok(value.bind(py).clone()),
                Self::Input(input) => Ok(inputs[*input as usize].bind(py).clone()),
                Self::Node(node) => match slots.get(*node) {
                    Some(value) => Ok(value.bind(py).clone()),
                    None => Err(pyo3::exceptions::PySystemError::new_err(
                        "a node ran before one that it waits for",
                    )),
                },
                Self::Nested(nested) => nested.resolve(py, slots, inputs),
            }
        }
    }

    pub(super) fn renumber(&mut self, position: &[u32]) {
        match self {
            Self::Node(node) => *node = position[*node as usize],
            Self::Constant(_) | Self::Input(_) => {}
            Self::Nested(nested) => match &mut **nested {
                Nested::List(items) | Nested::Tuple(items) => {
                    for item in items {
                        item.renumber(position);
                    }
                }
                Nested::Dict(items) => {
                    for (_, item) in items {
                        item.renumber(position);
                    }
                }
            },
        }
    }

    pub(super) fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        match self {
            Self::Constant(value) => visit.call(value),
            Self::Node(_) | Self::Input(_) => Ok(()),
            Self::Nested(nested) => match &**nested {
                Nested::List(items) | Nested::Tuple(items) => {
                    items.iter().try_for_each(|item| item.traverse(visit))
                }
                Nested::Dict(items) => items.iter().try_for_each(|(key, item)| {
                    visit.call(key)?;
                    item.traverse(visit)
                }),
            },
        }
    }
}

impl Nested {
    /// # Safety
    /// As for `Argument::resolve`.
    unsafe fn resolve<'py>(
        &self,
        py: Python<'py>,
        slots: &Slots,
        inputs: &[Py<PyAny>],
    ) -> PyResult<Bound<'py, PyAny>> {
        // SAFETY: passed on from the caller.
        let resolve = |item: &Argument| unsafe { item.resolve(py, slots, inputs) };
        Ok(match self {
            Self::List(items) => {
                let values: Vec<_> = items.iter().map(resolve).collect::<PyResult<_>>()?;
                PyList::new(py, values)?.into_any()
            }
            Self::Tuple(items) => {
                let values: Vec<_> = items.iter().map(resolve).collect::<PyResult<_>>()?;
                PyTuple::new(py, values)?.into_any()
            }
            Self::Dict(items) => {
                let dict = PyDict::new(py);
                for (key, item) in items {
                    dict.set_item(key, resolve(item)?)?;
                }
                dict.into_any()
            }
        })
    }
}

fn compile_all<'py>(
    values: impl Iterator<Item = Bound<'py, PyAny>>,
    names: &mut dyn Names,
    depth: usize,
) -> PyResult<Vec<Argument>> {
    values
        .map(|value| Argument::compile_at(&value, names, depth))
        .collect()
}

/// Whether a list, tuple or dict holds a `Ref` or an `Input` anywhere inside.
/// Walks with a stack of its own, so that neither deep nor cyclic data hurts.
fn holds_reference(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    if !is_container(value) {
        return Ok(false);
    }
    let mut seen = std::collections::HashSet::new();
    let mut pending = vec![value.clone()];
    while let Some(value) = pending.pop() {
        if value.is_exact_instance_of::<Ref>() || value.is_exact_instance_of::<Input>() {
            return Ok(true);
        }
        if !is_container(&value) || !seen.insert(value.as_ptr() as usize) {
            continue;
        }
        if let Ok(list) = value.cast_exact::<PyList>() {
            pending.extend(list.iter());
        } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
            pending.extend(tuple.iter());
        } else {
            pending.extend(value.cast_exact::<PyDict>()?.iter().map(|(_, item)| item));
        }
    }
    Ok(false)
}

fn is_container(value: &Bound<'_, PyAny>) -> bool {
    value.is_exact_instance_of::<PyList>()
        || value.is_exact_instance_of::<PyTuple>()
        || value.is_exact_instance_of::<PyDict>()
}
