//! How a node of a `TaskGraph` runs: one vectorcall.

use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;

use crate::py::engine::{Program, Site, Slots, Step, vectorcall};

use super::arguments::Argument;
use super::plan::{Plan, Task};
use super::tokens::CancelState;

/// Calls with at most this many arguments need no memory from the heap.
const INLINE_ARGUMENTS: usize = 8;

pub(super) struct GraphProgram {
    pub(super) plan: Py<Plan>,
    pub(super) slots: Slots,
    pub(super) inputs: Vec<Py<PyAny>>,
    pub(super) release: Option<Release>,
    pub(super) cancel: Option<Arc<CancelState>>,
}

/// Which results nobody needs any more.
pub(super) struct Release {
    /// Consumers of each node that have not run yet.
    pending: Vec<AtomicU32>,
    keep: Vec<bool>,
}

impl Release {
    pub(super) fn new(plan: &Plan, keep: Vec<bool>) -> Self {
        let count = plan.dag.node_count() as u32;
        let pending = (0..count)
            .map(|node| AtomicU32::new(plan.dag.out_degree(node) as u32))
            .collect();
        Self { pending, keep }
    }

    /// `node` has run: results that only it still needed are given back.
    fn ran(&self, plan: &Plan, slots: &Slots, node: u32) {
        if !self.keep[node as usize] && plan.dag.out_degree(node) == 0 {
            // SAFETY: nobody reads the result of a node without successors.
            drop(unsafe { slots.take(node) });
        }
        for &source in plan.dag.predecessors(node) {
            let left = self.pending[source as usize].fetch_sub(1, Ordering::AcqRel) - 1;
            if left == 0 && !self.keep[source as usize] {
                // SAFETY: this was the last of the source's successors.
                drop(unsafe { slots.take(source) });
            }
        }
    }
}

impl Program for GraphProgram {
    fn execute(&self, py: Python<'_>, node: u32, _site: Site) -> PyResult<Step> {
        let plan = self.plan.get();
        let task = &plan.tasks[node as usize];
        let arguments = plan.arguments_of(task);
        let result = if arguments.len() <= INLINE_ARGUMENTS {
            let mut frame = [const { MaybeUninit::uninit() }; INLINE_ARGUMENTS + 1];
            self.call(py, task, arguments, &mut frame)
        } else {
            let mut frame = vec![MaybeUninit::uninit(); arguments.len() + 1];
            self.call(py, task, arguments, &mut frame)
        }?;
        // SAFETY: this thread runs `node`.
        unsafe { self.slots.fill(node, result) };
        if let Some(release) = &self.release {
            release.ran(plan, &self.slots, node);
        }
        Ok(Step::Ended)
    }

    fn is_cancelled(&self, _py: Python<'_>) -> PyResult<bool> {
        Ok(self
            .cancel
            .as_ref()
            .is_some_and(|state| state.is_cancelled()))
    }

    fn can_be_cancelled(&self) -> bool {
        self.cancel.is_some()
    }
}

impl GraphProgram {
    #[inline]
    fn call(
        &self,
        py: Python<'_>,
        task: &Task,
        arguments: &[Argument],
        frame: &mut [MaybeUninit<*mut ffi::PyObject>],
    ) -> PyResult<Py<PyAny>> {
        // Values made for this call only; the frame borrows them.
        let mut owned: Vec<Bound<'_, PyAny>> = Vec::new();
        frame[0].write(std::ptr::null_mut());
        for (place, argument) in frame[1..].iter_mut().zip(arguments) {
            let pointer = match argument {
                // SAFETY: a node runs after every node it refers to, and a
                // result is not released before its last consumer has run.
                Argument::Node(source) => match unsafe { self.slots.get(*source) } {
                    Some(value) => value.as_ptr(),
                    None => return Err(ran_too_early()),
                },
                Argument::Constant(value) => value.as_ptr(),
                Argument::Input(input) => self.inputs[*input as usize].as_ptr(),
                Argument::Nested(_) => {
                    // SAFETY: as above.
                    let value = unsafe { argument.resolve(py, &self.slots, &self.inputs)? };
                    let pointer = value.as_ptr();
                    owned.push(value);
                    pointer
                }
            };
            place.write(pointer);
        }
        let keywords = task
            .keywords
            .as_ref()
            .map_or(std::ptr::null_mut(), Py::as_ptr);
        let nargsf = task.positional as usize | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET;
        // SAFETY: the frame holds one unused place, then as many initialised
        // borrowed references as `positional` and `keywords` announce, all kept
        // alive by the plan, the slots, the inputs or `owned`.
        unsafe {
            let args = frame.as_ptr().add(1).cast::<*mut ffi::PyObject>();
            let result = vectorcall(task.callable.as_ptr(), args, nargsf, keywords);
            Bound::from_owned_ptr_or_err(py, result).map(Bound::unbind)
        }
    }
}

#[cold]
fn ran_too_early() -> PyErr {
    pyo3::exceptions::PySystemError::new_err("a node ran before one that it waits for")
}
