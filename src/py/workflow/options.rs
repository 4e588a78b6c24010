//! What a runtime's options mean for every node of a run.

use pyo3::prelude::*;

/// Made once for each combination, and shared by runs.
#[allow(clippy::struct_excessive_bools)] // independent options, each asked by its name
#[pyclass(frozen, module = "nexus_core")]
#[derive(Clone, Copy)]
pub(crate) struct RunOptions {
    /// Nodes that may run at the same time.
    #[pyo3(get)]
    pub(super) max_concurrency: usize,
    pub(super) validates_connections: bool,
    pub(super) detects_content_failures: bool,
    /// Stock assembles all inputs: somebody reads what it logs meanwhile.
    pub(super) stock_inputs: bool,
    /// Nodes run through their own `execute`, for the same reason.
    pub(super) stock_execute: bool,
    /// Somebody reads what `Node.execute` logs.
    pub(super) logs_nodes: bool,
    /// Somebody reads what the runtime logs about skipped nodes.
    pub(super) logs_skips: bool,
    /// Every node runs, whatever switches have sent elsewhere.
    pub(super) never_skips: bool,
    /// Where an edge to `input_data` delivers nothing, the input is `None`.
    pub(super) completes_input_data: bool,
    /// The host is told of each node's start and end.
    pub(super) observed: bool,
    pub(super) checks_cancellation: bool,
    /// The memory limit of code nodes holds for the whole run, because it has
    /// no other nodes.
    pub(super) guards_memory: bool,
    /// It is put in force around each code node.
    pub(super) guards_each_node: bool,
    /// It is put in force for what one worker runs in a row.
    pub(super) guards_stretch: bool,
    pub(super) history: bool,
    pub(super) trace: bool,
    /// The host is asked for the outputs of nodes that need not run, and told
    /// those of nodes that have run.
    pub(super) tracks: bool,
    /// Nodes are finished when Python confirms them on the event loop.
    pub(super) confirms: bool,
    /// The rules are those of `LocalRuntime`, although an event loop is served.
    pub(super) as_local: bool,
    /// Ready nodes start in topological order instead of the longest path first.
    pub(super) in_order: bool,
}

#[pymethods]
impl RunOptions {
    #[new]
    #[pyo3(signature = (
        *, max_concurrency, validates_connections=false, detects_content_failures=false,
        stock_inputs=false, stock_execute=false, logs_nodes=false, logs_skips=false,
        never_skips=false, completes_input_data=false, observed=false,
        checks_cancellation=false, guards_memory=false, guards_each_node=false,
        guards_stretch=false, history=false, trace=false, tracks=false, confirms=false,
        as_local=false, in_order=false,
    ))]
    #[allow(clippy::too_many_arguments, clippy::fn_params_excessive_bools)] // by keyword only
    fn new(
        max_concurrency: i64,
        validates_connections: bool,
        detects_content_failures: bool,
        stock_inputs: bool,
        stock_execute: bool,
        logs_nodes: bool,
        logs_skips: bool,
        never_skips: bool,
        completes_input_data: bool,
        observed: bool,
        checks_cancellation: bool,
        guards_memory: bool,
        guards_each_node: bool,
        guards_stretch: bool,
        history: bool,
        trace: bool,
        tracks: bool,
        confirms: bool,
        as_local: bool,
        in_order: bool,
    ) -> Self {
        Self {
            max_concurrency: usize::try_from(max_concurrency).unwrap_or(1).max(1),
            validates_connections,
            detects_content_failures,
            stock_inputs,
            stock_execute,
            logs_nodes,
            logs_skips,
            never_skips,
            completes_input_data,
            observed,
            checks_cancellation,
            guards_memory,
            guards_each_node,
            guards_stretch,
            history,
            trace,
            tracks,
            confirms,
            as_local,
            in_order,
        }
    }
}
