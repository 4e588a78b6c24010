//! The core's grouping of nodes, for runs on other machines.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::core::graph::{GraphError, GroupingTerms, NodeCost, NodeIndex, TaskDag};

/// Members, inputs and exports of a group, by number.
type Described = (Vec<NodeIndex>, Vec<NodeIndex>, Vec<NodeIndex>);

/// Groups nodes that are numbered by a topological order. `seconds`: what each adds to its group,
/// `None` for what was not measured; `kinds`: only nodes of a kind share a group; `overhead`: what a
/// group costs, in seconds; `slots`: how many can run at the same time.
///
/// Returns `(members, inputs, exports)` of each group; see the core.
#[pyfunction]
#[pyo3(name = "_grouped")]
#[allow(clippy::needless_pass_by_value)] // as PyO3 takes them out of the arguments
pub(super) fn grouped(
    py: Python<'_>,
    edges: Vec<(NodeIndex, NodeIndex)>,
    seconds: Vec<Option<f64>>,
    kinds: Vec<u32>,
    overhead: f64,
    slots: usize,
) -> PyResult<Vec<Described>> {
    if seconds.len() != kinds.len() {
        return Err(PyValueError::new_err(format!(
            "{} nodes have a cost, and {} have a kind",
            seconds.len(),
            kinds.len()
        )));
    }
    let groups = py.detach(|| -> Result<_, GraphError> {
        let costs: Vec<NodeCost> = seconds
            .iter()
            .zip(&kinds)
            .map(|(&seconds, &kind)| NodeCost { seconds, kind })
            .collect();
        let dag = TaskDag::from_edges(costs.len(), &edges)?;
        dag.grouped(&costs, &GroupingTerms { overhead, slots })
    });
    let described = groups.map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok(described
        .into_iter()
        .map(|group| (group.members, group.inputs, group.exports))
        .collect())
}
