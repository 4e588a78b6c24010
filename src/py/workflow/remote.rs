//! Nodes that run in other processes: which, and what was measured of those that may.

use std::time::Duration;

use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::core::processes::{Place, Placement, Policy, Verdict, thread_time};
use crate::core::threads::Stretch;

use super::node::Node;
use super::program::{Dialect, WorkflowProgram};

/// Where each node of a plan runs. Shared by its runs.
#[pyclass(frozen, module = "nexus_core", name = "_RemoteNodes")]
pub(crate) struct RemoteNodes {
    nodes: Box<[Placement]>,
    policy: Policy,
}

fn place_of(name: &str) -> PyResult<Place> {
    match name {
        "here" => Ok(Place::Here),
        "there" => Ok(Place::There),
        "measured" => Ok(Place::Measured),
        "watched" => Ok(Place::Watched),
        other => Err(PyValueError::new_err(format!(
            "no place is called {other:?}"
        ))),
    }
}

const fn name_of(place: Place) -> &'static str {
    match place {
        Place::Here => "here",
        Place::There => "there",
        Place::Measured => "measured",
        Place::Watched => "watched",
    }
}

fn seconds(value: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value)
        .map_err(|_| PyValueError::new_err(format!("{value} are no seconds")))
}

#[pymethods]
impl RemoteNodes {
    /// `places`: one a node of the plan, `"here"`, `"there"`, `"measured"` or `"watched"`;
    /// `least_work`: in seconds of processor time.
    #[new]
    #[pyo3(signature = (places, *, least_work=0.005, least_share=0.05, most_overhead=0.5, sightings=2))]
    #[allow(clippy::needless_pass_by_value)] // as Python hands them over
    fn new(
        places: Vec<String>,
        least_work: f64,
        least_share: f64,
        most_overhead: f64,
        sightings: u32,
    ) -> PyResult<Self> {
        Ok(Self {
            nodes: places
                .iter()
                .map(|name| place_of(name).map(Placement::new))
                .collect::<PyResult<_>>()?,
            policy: Policy {
                least_work: seconds(least_work)?,
                least_share,
                most_overhead,
                sightings,
            },
        })
    }

    fn place(&self, index: usize) -> PyResult<&'static str> {
        self.node(index).map(|node| name_of(node.place()))
    }

    fn put(&self, index: usize, place: &str) -> PyResult<()> {
        self.node(index)?.put(place_of(place)?);
        Ok(())
    }

    /// Notes a run in another process; returns `"too dear"`, `"too idle"` or `"too short"` if it was the last one.
    fn ran_there(
        &self,
        index: usize,
        work: f64,
        waited: f64,
        overhead: f64,
    ) -> PyResult<Option<&'static str>> {
        let node = self.node(index)?;
        let (work, waited) = (seconds(work)?, seconds(waited)?);
        let verdict = node.ran_there(work, waited, seconds(overhead)?, &self.policy);
        Ok(match verdict {
            Verdict::TooDear => Some("too dear"),
            Verdict::TooIdle => Some("too idle"),
            Verdict::TooShort => Some("too short"),
            Verdict::AsBefore | Verdict::Worth => None,
        })
    }

    /// Runs that were measured, and the averages of their work and time in seconds.
    fn figures(&self, index: usize) -> PyResult<(u64, f64, f64)> {
        self.node(index).map(Placement::figures)
    }

    fn __len__(&self) -> usize {
        self.nodes.len()
    }
}

impl RemoteNodes {
    fn node(&self, index: usize) -> PyResult<&Placement> {
        self.nodes
            .get(index)
            .ok_or_else(|| PyIndexError::new_err(format!("there is no node {index}")))
    }

    pub(super) fn place_of(&self, index: u32) -> Place {
        self.nodes
            .get(index as usize)
            .map_or(Place::Here, Placement::place)
    }
}

impl WorkflowProgram {
    /// Where a node runs.
    #[inline]
    pub(super) fn place_of_node(&self, index: u32) -> Place {
        match &self.remote {
            None => Place::Here,
            Some(remote) => remote.get().place_of(index),
        }
    }

    /// Runs a node somewhere else, or here, measured. `None` leaves it to be run here as any
    /// other; nothing has happened then.
    pub(super) fn run_remote<'py>(
        &self,
        py: Python<'py>,
        index: u32,
        node: &Node,
        inputs: &Bound<'py, PyDict>,
        here: impl FnOnce() -> PyResult<Option<Bound<'py, PyAny>>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.place_of_node(index) {
            Place::Here => Ok(None),
            Place::There => self.run_elsewhere(py, index, node, inputs),
            Place::Measured => self.run_measured(py, index, here),
            Place::Watched => self.run_while_watched(py, index, inputs, here),
        }
    }

    fn run_elsewhere<'py>(
        &self,
        py: Python<'py>,
        index: u32,
        node: &Node,
        inputs: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let dialect = match self.dialect {
            Dialect::Local => intern!(py, "local"),
            Dialect::Async => intern!(py, "async"),
            Dialect::Cyclic => intern!(py, "cyclic"),
        };
        let own_execute = self.runs_own_execute(node);
        let logs = self.settings.logs_nodes;
        let host = self.host.bind(py);
        let answer = host.ask(
            intern!(py, "run_elsewhere"),
            (index, inputs, dialect, own_execute, logs),
        )?;
        if answer.is_none() {
            return Ok(None);
        }
        // Raising it there would have replaced its context.
        let (output, raised): (Bound<'_, PyAny>, Bound<'_, PyAny>) = answer.extract()?;
        if raised.is_none() {
            Ok(Some(output))
        } else {
            Err(PyErr::from_value(raised))
        }
    }

    /// Whoever watches compares what was there before the node ran with what is there afterwards.
    fn run_while_watched<'py>(
        &self,
        py: Python<'py>,
        index: u32,
        inputs: &Bound<'py, PyDict>,
        here: impl FnOnce() -> PyResult<Option<Bound<'py, PyAny>>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let host = self.host.bind(py);
        let before = host.ask(intern!(py, "before_watched_run"), (index, inputs))?;
        let Some(output) = here()? else {
            return Ok(None);
        };
        host.ask(
            intern!(py, "after_watched_run"),
            (index, inputs, &output, before),
        )?;
        Ok(Some(output))
    }

    fn run_measured<'py>(
        &self,
        py: Python<'py>,
        index: u32,
        here: impl FnOnce() -> PyResult<Option<Bound<'py, PyAny>>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(remote) = &self.remote else {
            return here();
        };
        let stretch = Stretch::begin();
        let before = thread_time();
        let Some(output) = here()? else {
            return Ok(None);
        };
        let worked = thread_time().zip(before);
        let work = worked.map_or(Duration::ZERO, |(now, before)| now.saturating_sub(before));
        let remote = remote.get();
        let node = remote.node(index as usize)?;
        if node.ran_here(work, stretch.spent(), &remote.policy) == Verdict::Worth {
            let host = self.host.bind(py);
            host.ask(intern!(py, "is_worth_a_process"), (index,))?;
        }
        Ok(Some(output))
    }
}
