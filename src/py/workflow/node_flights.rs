//! Cached nodes that run now, and who waits for what they leave.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Weak};

use pyo3::prelude::*;

use crate::core::cache::{Agent, Ending, Flight};
use crate::core::locks::Mutex;
use crate::core::threads::PerProcess;
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
pub(super) type NodeFlight = Flight<Py<PyAny>, ParkedNode>;

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
        match known.entry(key) {
            Entry::Occupied(place) => Seat::Passenger(Arc::clone(place.get())),
            Entry::Vacant(place) => {
                let flight = Arc::new(NodeFlight::new(Agent::here(0)));
                place.insert(Arc::clone(&flight));
                drop(known);
                Seat::Pilot(Pilot {
                    flights: flights.clone().unbind(),
                    flight,
                    key,
                })
            }
        }
    }
}

impl NodeFlights {
    /// A flight that nobody joins.
    pub(super) fn alone(flights: &Bound<'_, Self>, key: Key) -> Pilot {
        Pilot {
            flights: flights.clone().unbind(),
            flight: Arc::new(NodeFlight::new(Agent::here(0))),
            key,
        }
    }
}

impl Pilot {
    pub(super) fn land(&self, py: Python<'_>, ending: Ending<Py<PyAny>>) {
        let left = {
            let mut known = self.flights.get().flights.get(Flights::default).lock();
            // A forked child may have another flight under the same key.
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
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        if self.flight.look(|_| ()).is_none() {
            Python::attach(|py| self.land(py, Ending::Abandoned));
        }
    }
}
