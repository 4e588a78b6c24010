//! Cached nodes that run now, and who waits for what they leave.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use pyo3::prelude::*;

use crate::core::cache::{Agent, Ending, Flight};
use crate::core::locks::Mutex;
use crate::core::threads::PerProcess;
use crate::py::cache::Load;
use crate::py::engine::Execution;

use super::program::WorkflowProgram;

/// What stands for a node with its inputs.
pub(super) type Key = [u8; 32];

/// A node of some run that waits without a thread, by its position there.
pub(super) struct ParkedNode {
    pub(super) execution: Weak<Execution<WorkflowProgram>>,
    pub(super) position: u32,
}

/// A node that runs, for all who want its output; `None` for one that nobody can copy.
pub(super) struct NodeFlight {
    flight: Flight<Py<PyAny>, ParkedNode>,
    /// The seat at its key in the cache, which is told when that is written or removed.
    seat: OnceLock<Py<Load>>,
    threads: AtomicUsize,
}

impl NodeFlight {
    fn new() -> Self {
        Self {
            flight: Flight::new(Agent::here(0)),
            seat: OnceLock::new(),
            threads: AtomicUsize::new(0),
        }
    }

    /// Counts the calling thread among those who wait, until what is returned is dropped.
    pub(super) fn count_thread(&self) -> impl Drop + '_ {
        self.threads.fetch_add(1, Ordering::Relaxed);
        Waits(&self.threads)
    }

    /// Whether what comes of it is not for those who ask from now on: something that it
    /// depends on may have changed since it began, or it has been written, and what was
    /// written may be removed already.
    fn is_outdated(&self) -> bool {
        let seat = self.seat.get().map(Py::get);
        seat.is_some_and(|seat| seat.is_overruled() || seat.is_over())
    }
}

struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Deref for NodeFlight {
    type Target = Flight<Py<PyAny>, ParkedNode>;

    fn deref(&self) -> &Self::Target {
        &self.flight
    }
}

type Flights = Mutex<HashMap<Key, Arc<NodeFlight>>>;

/// The cached nodes of all runs with one cache that run now.
#[pyclass(frozen, weakref, module = "nexus_core._core", name = "_NodeFlights")]
pub(crate) struct NodeFlights {
    flights: PerProcess<Flights>,
}

#[pymethods]
impl NodeFlights {
    #[new]
    fn new() -> Self {
        Self {
            flights: PerProcess::new(Flights::default()),
        }
    }

    /// How many run now.
    fn __len__(&self) -> usize {
        self.flights.get(Flights::default).lock().len()
    }

    /// How many nodes wait for one that runs, on threads or without.
    fn waiting(&self) -> usize {
        let known = self.flights.get(Flights::default).lock();
        let waiting =
            |flight: &Arc<NodeFlight>| flight.waiting() + flight.threads.load(Ordering::Relaxed);
        known.values().map(waiting).sum()
    }
}

/// What comes of asking for a node that is in nobody's cache yet.
pub(super) enum Seat {
    /// The caller runs the node.
    Pilot(Pilot),
    /// Somebody else does.
    Passenger(Arc<NodeFlight>),
}

/// Whoever runs a node for all who wait: if it comes to no end, another one does.
pub(super) struct Pilot {
    flights: Py<NodeFlights>,
    flight: Arc<NodeFlight>,
    key: Key,
}

impl NodeFlights {
    pub(super) fn board(flights: &Bound<'_, Self>, key: Key) -> Seat {
        let mut known = flights.get().flights.get(Flights::default).lock();
        let place = known.entry(key);
        if let Entry::Occupied(place) = &place
            && !place.get().is_outdated()
        {
            return Seat::Passenger(Arc::clone(place.get()));
        }
        let flight = Arc::new(NodeFlight::new());
        let outdated = match place {
            Entry::Occupied(mut place) => Some(place.insert(Arc::clone(&flight))),
            Entry::Vacant(place) => {
                place.insert(Arc::clone(&flight));
                None
            }
        };
        drop(known);
        drop(outdated);
        Seat::Pilot(Pilot {
            flights: flights.clone().unbind(),
            flight,
            key,
        })
    }

    /// A flight that nobody joins.
    pub(super) fn alone(flights: &Bound<'_, Self>, key: Key) -> Pilot {
        Pilot {
            flights: flights.clone().unbind(),
            flight: Arc::new(NodeFlight::new()),
            key,
        }
    }
}

impl Pilot {
    /// Has it told of changes from now on, which the node may not see any more.
    pub(super) fn is_told_by(&self, seat: Py<Load>) {
        let _only_once = self.flight.seat.set(seat);
    }

    pub(super) fn land(&self, py: Python<'_>, ending: Ending<Py<PyAny>>) {
        let left = {
            let mut known = self.flights.get().flights.get(Flights::default).lock();
            // A forked child may have another flight under the same key, and so may who found
            // this one outdated.
            match known.entry(self.key) {
                Entry::Occupied(place) if Arc::ptr_eq(place.get(), &self.flight) => {
                    Some(place.remove())
                }
                _ => None,
            }
        };
        drop(left);
        for parked in self.flight.end(ending) {
            if let Some(execution) = parked.execution.upgrade() {
                execution.unpark(py, parked.position);
            }
        }
        if let Some(seat) = self.flight.seat.get() {
            seat.get().give_up(py);
        }
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        if !self.flight.is_inherited() && self.flight.look(|_| ()).is_none() {
            Python::attach(|py| self.land(py, Ending::Abandoned));
        }
    }
}
