//! Runs that others may go on with: outputs that are replayed instead of running
//! their nodes, and nodes whose completion is recorded before anybody builds on it.

use std::collections::HashMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use pyo3::exceptions::PySystemError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::core::locks::Mutex;

use super::program::{Ended, WorkflowProgram};

/// A node that has run and is not finished yet.
struct Unconfirmed {
    inputs: Option<Py<PyDict>>,
    output: Py<PyAny>,
    began: Instant,
    ended: Instant,
}

#[derive(Default)]
struct State {
    held: HashMap<u32, Unconfirmed>,
    /// Those of them that Python has not been told of, in the order in which
    /// they ended.
    untold: Vec<u32>,
}

/// Nodes that wait to be confirmed.
#[derive(Default)]
pub(super) struct Confirmations(Mutex<State>);

impl Confirmations {
    pub(super) fn holds(&self, node: u32) -> bool {
        self.0.lock().held.contains_key(&node)
    }

    fn hold(&self, node: u32, unconfirmed: Unconfirmed) {
        let mut state = self.0.lock();
        state.held.insert(node, unconfirmed);
        state.untold.push(node);
    }

    /// Those that have come since the last time: node, output, and when it began
    /// and ended, in seconds since the epoch.
    pub(super) fn take_untold<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        let untold: Vec<_> = {
            let mut state = self.0.lock();
            let nodes = std::mem::take(&mut state.untold);
            let known = nodes.into_iter().filter_map(|node| {
                let unconfirmed = state.held.get(&node)?;
                let output = unconfirmed.output.clone_ref(py);
                Some((node, output, unconfirmed.began, unconfirmed.ended))
            });
            known.collect()
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0.0, |elapsed| elapsed.as_secs_f64());
        for (node, output, began, ended) in untold {
            let began = now - began.elapsed().as_secs_f64();
            let ended = now - ended.elapsed().as_secs_f64();
            list.append((node, output, began, ended))?;
        }
        Ok(list)
    }
}

impl WorkflowProgram {
    /// Takes over what an earlier run has completed. `false` if the node has to run.
    pub(super) fn replay(&self, py: Python<'_>, index: u32) -> PyResult<bool> {
        let replayed = self
            .host
            .bind(py)
            .ask(intern!(py, "replayed"), (index,))?
            .extract::<Option<(Bound<'_, PyAny>,)>>()?;
        let Some((output,)) = replayed else {
            return Ok(false);
        };
        self.put_output(py, index, &output)?;
        self.note_cached(index);
        Ok(true)
    }

    /// A node has run on this thread: it ends, or waits to be confirmed.
    pub(super) fn ran(
        &self,
        py: Python<'_>,
        index: u32,
        inputs: Option<&Bound<'_, PyDict>>,
        ended: PyResult<Ended<'_>>,
        started: Option<Instant>,
    ) -> PyResult<()> {
        let Ok(Ended::Output(output)) = &ended else {
            return self.end_node(py, index, inputs, ended, started);
        };
        if self.settings.tracks {
            let host = self.host.bind(py);
            if let Err(error) = host.ask(intern!(py, "record"), (index, output)) {
                return self.end_node(py, index, inputs, Err(error), started);
            }
        }
        let (Some(confirmations), Some(began)) = (&self.confirmations, started) else {
            return self.end_node(py, index, inputs, ended, started);
        };
        let unconfirmed = Unconfirmed {
            inputs: inputs.map(|inputs| inputs.clone().unbind()),
            output: output.clone().unbind(),
            began,
            ended: Instant::now(),
        };
        confirmations.hold(index, unconfirmed);
        Ok(())
    }

    /// Ends a node that has been confirmed, or has failed because it could not be.
    /// Returns for how many seconds it ran.
    pub(super) fn end_confirmed(
        &self,
        py: Python<'_>,
        index: u32,
        error: Option<PyErr>,
    ) -> PyResult<(f32, PyResult<()>)> {
        let held = match &self.confirmations {
            Some(confirmations) => confirmations.0.lock().held.remove(&index),
            None => None,
        };
        let Some(held) = held else {
            return Err(PySystemError::new_err(format!(
                "node {index} does not wait to be confirmed"
            )));
        };
        let ended = match error {
            None => Ok(Ended::Output(held.output.into_bound(py))),
            Some(error) => Err(error),
        };
        // The time for which it waited is none of its own.
        let started = held.began + held.ended.elapsed();
        let inputs = held.inputs.as_ref().map(|inputs| inputs.bind(py));
        let result = self.end_node(py, index, inputs, ended, Some(started));
        let seconds = held.ended.duration_since(held.began).as_secs_f32();
        Ok((seconds, result))
    }
}
