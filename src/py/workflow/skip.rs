//! Whether a node is left out because switches sent their data elsewhere:
//! `ConditionalExecutionMixin._should_skip_conditional_node`.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::inputs::look_up;
use super::node::{Body, Edge, Node};
use super::outputs::Kind;
use super::program::WorkflowProgram;

impl WorkflowProgram {
    /// Whether a node is left out. Its inputs are known, and nothing else of it has run.
    pub(super) fn is_skipped(
        &self,
        py: Python<'_>,
        index: u32,
        node: &Node,
        inputs: &Bound<'_, PyDict>,
    ) -> PyResult<bool> {
        if self.settings.never_skips {
            return Ok(false);
        }
        let may_be = node.has_switch_source
            || node
                .edges
                .iter()
                .any(|edge| self.kind(edge.source) == Kind::Skipped);
        if !may_be {
            return Ok(false);
        }
        if node.stock_inputs || node.stock_async_inputs {
            // It has edges that are not known here.
            let host = self.host.bind(py);
            return host
                .ask(intern!(py, "should_skip"), (index, inputs))?
                .is_truthy();
        }
        if !self.has_no_data(node, inputs) {
            return Ok(false);
        }
        // Stock logs it, and an awaited node is cleaned up.
        if self.settings.logs_skips || matches!(node.body, Body::Async) {
            let host = self.host.bind(py);
            host.ask(intern!(py, "skipped"), (index, inputs))?;
        }
        Ok(true)
    }

    /// Whether switches, or nodes that they have left out, are all that could
    /// have given the node data, and have not.
    fn has_no_data(&self, node: &Node, inputs: &Bound<'_, PyDict>) -> bool {
        let mut connected = false;
        let mut all_routed = true;
        for edge in &node.edges {
            for mapping in &edge.mappings {
                let Some(value) = look_up(inputs, &mapping.target_key) else {
                    continue;
                };
                if !value.is_none() {
                    return false;
                }
                connected = true;
                all_routed = all_routed && self.is_routed(edge);
            }
        }
        connected && (node.is_configured || all_routed)
    }

    fn is_routed(&self, edge: &Edge) -> bool {
        edge.is_from_switch || self.kind(edge.source) == Kind::Skipped
    }
}
