//! One node with its inputs: by its native program, by its own `execute`, or somewhere else.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::py::engine::Ask;

use super::node::{Body, Node};
use super::program::{Dialect, WorkflowProgram};

impl WorkflowProgram {
    /// Runs a node that is not left out, and of which everybody knows.
    pub(super) fn run_started<'py>(
        &self,
        py: Python<'py>,
        index: u32,
        node: &Node,
        inputs: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let own_execute = self.runs_own_execute(node);
        if self.dialect == Dialect::Local && (node.needs_context || own_execute) {
            let context = self.workflow_context.bind(py);
            let host = self.host.bind(py);
            host.ask(intern!(py, "give_context"), (index, context))?;
        }
        let here = || self.run_here(py, index, node, inputs, own_execute);
        if self.remote.is_some()
            && let Some(outputs) = self.run_remote(py, index, node, inputs, || here().map(Some))?
        {
            return Ok(outputs);
        }
        here()
    }

    fn run_here<'py>(
        &self,
        py: Python<'py>,
        index: u32,
        node: &Node,
        inputs: &Bound<'py, PyDict>,
        own_execute: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        if !own_execute && let Some(outputs) = self.run_body(py, index, node, inputs)? {
            return Ok(outputs);
        }
        node.instance
            .bind(py)
            .ask_with(intern!(py, "execute"), inputs)
    }

    /// Whether a node's native program is left aside: somebody reads what its
    /// own `execute` logs.
    pub(super) fn runs_own_execute(&self, node: &Node) -> bool {
        self.settings.stock_execute
            || (self.settings.logs_nodes && matches!(node.body, Body::Function(_)))
    }

    /// Runs a node's native program. `None` where it has none, or where its own
    /// `execute` has to decide; nothing has happened then.
    pub(super) fn run_body<'py>(
        &self,
        py: Python<'py>,
        index: u32,
        node: &Node,
        inputs: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match &node.body {
            Body::Code(code) => {
                if !self.settings.guards_each_node {
                    return Ok(code.run(self, node, index, inputs)?.map(Bound::into_any));
                }
                self.enter_memory_limit(py)?;
                let outputs = code.run(self, node, index, inputs);
                self.leave_memory_limit(py)?;
                Ok(outputs?.map(Bound::into_any))
            }
            Body::Function(function) => function.run(self, node, index, inputs),
            Body::Generic(generic) => generic.run(self, node, index, inputs),
            Body::Execute | Body::Async => Ok(None),
        }
    }
}
