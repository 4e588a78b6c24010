//! Nodes whose outputs are kept: taken from the cache, or run once for all who want them.
//!
//! Nobody waits for a node that waits itself: a flight exists only while its pilot runs the
//! node. In a run that an event loop awaits, a node that has to wait gives its thread and its
//! place back (it is *parked*), and is executed again once it need not. On a thread that waits
//! for its run anyway, it waits there.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyException, PyRuntimeError, PySystemError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict};

use crate::core::cache::{Agent, Ending, wait_for};
use crate::core::locks::Mutex;
use crate::py::engine::{Execution, Site, Step, StopReason};
use crate::py::errors::exception;

use super::node_caching::{Found, NodeCaching};
use super::node_flights::{Key, NodeFlight, NodeFlights, ParkedNode, Pilot, Seat};
use super::outputs::reports_failure;
use super::program::{Dialect, Ended, WorkflowProgram};
use super::variables::SetVariable;

/// How often a thread that waits looks whether it still should.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Why a node runs although another run's does already.
const NO_WAITING: &str = "a thread that others wait for does not wait for a node";

/// A node that was given its inputs, and is executed again.
struct Pending {
    inputs: Py<PyDict>,
    started: Option<Instant>,
    key: Option<Py<PyBytes>>,
    flight: Option<Arc<NodeFlight>>,
}

/// The cached nodes of one run.
pub(super) struct RunCaching {
    pub(super) nodes: Py<NodeCaching>,
    /// The run has begun inside of a cached node, for which others may wait: it waits for
    /// nobody. So whoever runs a cached node never waits, and nobody waits but for those.
    is_nested: bool,
    /// Which nodes have not run, because their output was kept.
    taken: Box<[AtomicBool]>,
    /// Some node had to run: the run says nothing of how long runs take.
    missed: AtomicBool,
    pending: Mutex<HashMap<u32, Pending>>,
    execution: OnceLock<Weak<Execution<WorkflowProgram>>>,
}

impl RunCaching {
    /// For a run that begins in the calling context.
    pub(super) fn new(py: Python<'_>, nodes: Py<NodeCaching>, count: usize) -> PyResult<Self> {
        Ok(Self {
            is_nested: nodes.get().is_inside(py)?,
            nodes,
            taken: (0..count).map(|_| AtomicBool::new(false)).collect(),
            missed: AtomicBool::new(false),
            pending: Mutex::default(),
            execution: OnceLock::new(),
        })
    }

    pub(super) fn is_nested(&self) -> bool {
        self.is_nested
    }

    /// Which run it is of.
    pub(super) fn serves(&self, execution: Weak<Execution<WorkflowProgram>>) {
        let _only_once = self.execution.set(execution);
    }

    pub(super) fn mark_taken(&self, index: u32) {
        self.taken[index as usize].store(true, Ordering::Release);
    }

    pub(super) fn was_taken(&self, index: u32) -> bool {
        self.taken[index as usize].load(Ordering::Acquire)
    }

    pub(super) fn has_missed(&self) -> bool {
        self.missed.load(Ordering::Relaxed)
    }

    pub(super) fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.nodes)?;
        if let Some(pending) = self.pending.try_lock() {
            for node in pending.values() {
                visit.call(&node.inputs)?;
            }
        }
        Ok(())
    }
}

/// What becomes of a node with its inputs.
enum Way<'py> {
    Output(Bound<'py, PyAny>),
    /// It runs, and nothing of it is kept.
    Uncached,
    /// It runs for all who want its output.
    Pilot(Pilot),
    /// It is for another thread.
    Decline,
    /// It waits for another run's node.
    Wait(Arc<NodeFlight>),
}

impl WorkflowProgram {
    /// Runs a node that may be cached, or takes its output from the cache.
    #[inline(never)]
    pub(super) fn execute_cached(
        &self,
        py: Python<'_>,
        caching: &RunCaching,
        index: u32,
        site: Site,
    ) -> PyResult<Step> {
        let node = &self.plan.nodes[index as usize];
        let nodes = caching.nodes.get();
        let known = caching.pending.lock().remove(&index);
        let mut pending = if let Some(known) = known {
            known
        } else {
            let started = self.begin_node(py, index)?;
            let inputs = match self.assemble(py, index) {
                Ok(inputs) => inputs,
                Err(error) => {
                    let ended = self.end_node(py, index, None, Err(error), started);
                    return ended.map(|()| Step::Ended);
                }
            };
            let key = match self.begins(py, index, &inputs) {
                Ok(true) => nodes.key(py, index, &inputs, None),
                Ok(false) => {
                    let ended = self.ran(py, index, Some(&inputs), Ok(Ended::Skipped), started);
                    return ended.map(|()| Step::Ended);
                }
                Err(error) => Err(error),
            };
            match key {
                Ok(key) => Pending {
                    inputs: inputs.unbind(),
                    started,
                    key: key.map(Bound::unbind),
                    flight: None,
                },
                Err(error) => {
                    let ended = self.ran(py, index, Some(&inputs), Err(error), started);
                    return ended.map(|()| Step::Ended);
                }
            }
        };
        let inputs = pending.inputs.bind(py).clone();
        let ended = loop {
            let way = match Self::way(py, caching, &mut pending, site) {
                Ok(way) => way,
                Err(error) => break Err(error),
            };
            match way {
                Way::Output(output) => {
                    caching.mark_taken(index);
                    break Ok(Ended::Output(output));
                }
                Way::Uncached => {
                    break self
                        .run_started(py, index, node, &inputs)
                        .map(Ended::Output);
                }
                Way::Pilot(pilot) => {
                    break self
                        .run_as_pilot(py, caching, index, &pending, &pilot)
                        .map(Ended::Output);
                }
                Way::Decline => {
                    caching.pending.lock().insert(index, pending);
                    return Ok(Step::Declined);
                }
                Way::Wait(flight) if site == Site::Together => {
                    pending.flight = Some(Arc::clone(&flight));
                    match self.park(caching, index, &flight, pending) {
                        None => return Ok(Step::Parked),
                        // It has landed meanwhile.
                        Some(again) => pending = again,
                    }
                }
                Way::Wait(flight) => match self.wait_here(py, caching, &flight) {
                    Ok(Waited::Landed) => pending.flight = Some(flight),
                    Ok(Waited::Stopped(error)) => return Err(error),
                    Ok(Waited::InRing) => {
                        if let Err(error) = nodes.count(py, "bypass", Some(NO_WAITING)) {
                            break Err(error);
                        }
                        let ended = self.run_started(py, index, node, &inputs);
                        break ended.map(Ended::Output);
                    }
                    Err(error) => break Err(error),
                },
            }
        };
        let started = pending.started;
        self.ran(py, index, Some(&inputs), ended, started)
            .map(|()| Step::Ended)
    }

    /// Whether a node is not left out; whoever watches is told then.
    fn begins(&self, py: Python<'_>, index: u32, inputs: &Bound<'_, PyDict>) -> PyResult<bool> {
        let node = &self.plan.nodes[index as usize];
        if self.is_skipped(py, index, node, inputs)? {
            return Ok(false);
        }
        if self.dialect == Dialect::Async {
            self.tell_started(py, index)?;
        }
        Ok(true)
    }

    fn way<'py>(
        py: Python<'py>,
        caching: &RunCaching,
        pending: &mut Pending,
        site: Site,
    ) -> PyResult<Way<'py>> {
        let nodes = caching.nodes.get();
        let refreshes = nodes.keeper.refreshes;
        let Some(key) = &pending.key else {
            return Ok(Way::Uncached);
        };
        let key = key.bind(py);
        if let Some(flight) = pending.flight.take() {
            let ending = flight.look(|ending| match ending {
                Ending::Value(kept) => Some(Ok(kept.clone_ref(py))),
                Ending::Failed(error) => Some(Err(error.clone_ref(py))),
                Ending::Abandoned => None,
            });
            match ending.flatten() {
                // The pilot came to no end: whoever is first takes its place.
                None => {}
                Some(Err(error)) => {
                    nodes.count(py, "waited", None)?;
                    return Err(PyErr::from_value(error.into_bound(py)));
                }
                Some(Ok(kept)) if kept.is_none(py) => return Ok(Way::Uncached),
                Some(Ok(kept)) => {
                    return Ok(match NodeCaching::copy(kept.bind(py))? {
                        Found::Output(output) => {
                            nodes.count(py, "waited", None)?;
                            Way::Output(output)
                        }
                        Found::Nothing => Way::Uncached,
                    });
                }
            }
        }
        let at_once = site == Site::Loop;
        if !refreshes && let Found::Output(output) = nodes.find(key, at_once)? {
            nodes.count(py, "hit", None)?;
            return Ok(Way::Output(output));
        }
        caching.missed.store(true, Ordering::Relaxed);
        if site == Site::Loop {
            return Ok(Way::Decline);
        }
        let flights = nodes.keeper.flights.bind(py);
        let key_bytes = Key::try_from(key.as_bytes())
            .map_err(|_| PySystemError::new_err("a node's key has not 32 bytes"))?;
        if refreshes {
            // What runs already may have begun before it was asked for.
            return Ok(Way::Pilot(NodeFlights::alone(flights, key_bytes)));
        }
        match NodeFlights::board(flights, key_bytes) {
            Seat::Pilot(pilot) => {
                // Somebody may have landed between the look and the seat.
                if let Found::Output(output) = nodes.find(key, false)? {
                    nodes.count(py, "hit", None)?;
                    return Ok(Way::Output(output));
                }
                Ok(Way::Pilot(pilot))
            }
            Seat::Passenger(flight) => {
                if caching.is_nested || nodes.is_on_loop(py)? {
                    nodes.count(py, "bypass", Some(NO_WAITING))?;
                    Ok(Way::Uncached)
                } else if site == Site::Alone {
                    Ok(Way::Decline)
                } else {
                    Ok(Way::Wait(flight))
                }
            }
        }
    }

    /// Runs a node, keeps what it returns, and tells all who wait.
    fn run_as_pilot<'py>(
        &self,
        py: Python<'py>,
        caching: &RunCaching,
        index: u32,
        pending: &Pending,
        pilot: &Pilot,
    ) -> PyResult<Bound<'py, PyAny>> {
        let node = &self.plan.nodes[index as usize];
        let nodes = caching.nodes.get();
        let inputs = pending.inputs.bind(py);
        let key = match &pending.key {
            Some(key) => key.bind(py),
            None => return Err(PySystemError::new_err("a node without a key is not kept")),
        };
        let seat = nodes.begin(py, index, key)?;
        pilot.is_told_by(seat.clone_ref(py));
        let began = Instant::now();
        let ran = {
            let yes = PyBool::new(py, true).to_owned().into_any();
            let _computing = SetVariable::new(nodes.keeper.computing.bind(py), &yes)?;
            let _inside = SetVariable::new(nodes.keeper.inside.bind(py), &yes)?;
            self.run_started(py, index, node, inputs)
        };
        let seconds = began.elapsed().as_secs_f64();
        match ran {
            Ok(output) => {
                let why_not = if reports_failure(&output)? {
                    Some("it reports a failure")
                } else if !nodes.is_unchanged(py, index, inputs, key, None)? {
                    Some("it changes what it is given, or itself")
                } else {
                    None
                };
                let given = (key, inputs, seconds);
                let kept = nodes.keep(py, index, given, &output, why_not, &seat)?;
                pilot.land(py, Ending::Value(kept));
                Ok(output)
            }
            Err(error) => {
                if error.is_instance_of::<PyException>(py) && !nodes.is_own_end(py, &error)? {
                    let failure = exception(py, &error).into_any().unbind();
                    pilot.land(py, Ending::Failed(failure));
                }
                nodes.count(py, "miss", Some("it failed"))?;
                Err(error)
            }
        }
    }

    /// Leaves a node until a flight has landed. What it takes to go on if that was already.
    fn park(
        &self,
        caching: &RunCaching,
        index: u32,
        flight: &NodeFlight,
        pending: Pending,
    ) -> Option<Pending> {
        caching.pending.lock().insert(index, pending);
        let parked = ParkedNode {
            execution: caching.execution.get().cloned().unwrap_or_default(),
            position: self.stage.position(index).unwrap_or(index),
        };
        match flight.join(parked) {
            Ok(_) => None,
            Err(_) => caching.pending.lock().remove(&index),
        }
    }

    /// Waits on the calling thread, which waits for its run anyway.
    fn wait_here(
        &self,
        py: Python<'_>,
        caching: &RunCaching,
        flight: &NodeFlight,
    ) -> PyResult<Waited> {
        let Ok(_waiting) = wait_for(Agent::here(0), &flight.goal) else {
            return Ok(Waited::InRing);
        };
        let _counted = flight.count_thread();
        let execution = caching.execution.get().and_then(Weak::upgrade);
        while !flight.is_inherited() && flight.look(|_| ()).is_none() {
            if let Some(execution) = &execution {
                if self.settings.checks_cancellation
                    && !execution.run.is_stopped()
                    && crate::py::engine::Program::is_cancelled(self, py)?
                {
                    execution.stop(StopReason::Cancelled);
                }
                if execution.run.is_stopped() {
                    let text = "the run was stopped while this node waited for another run's";
                    return Ok(Waited::Stopped(PyRuntimeError::new_err(text)));
                }
            }
            py.detach(|| flight.wait(LOOK_INTERVAL));
            py.check_signals()?;
        }
        if flight.is_inherited() {
            // A signal's handler has forked.
            return Ok(Waited::InRing);
        }
        Ok(Waited::Landed)
    }
}

/// How a wait on a thread has ended.
enum Waited {
    Landed,
    /// Nobody wants the node any more: nothing has become of it.
    Stopped(PyErr),
    /// The pilot waits for this thread, directly or through others, or is in the parent process.
    InRing,
}
