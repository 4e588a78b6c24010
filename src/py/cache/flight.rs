//! A computation that may be waited for, as the garbage collector sees it.
//!
//! Several hold it: the cache, whoever computes, those who wait. What it holds belongs to it
//! alone, so that the collector counts each reference once; an error that it ended with has a
//! traceback whose frames may well hold the computation itself.

use std::ops::Deref;

use pyo3::prelude::*;

use crate::core::cache::{Agent, Flight, Flights, Gone, Store};
use crate::py::engine::LoopMailbox;

/// Wakes a task of an event loop.
pub(crate) struct Bell {
    pub(super) mailbox: Py<LoopMailbox>,
    pub(super) callback: Py<PyAny>,
}

pub(super) type FlightStore = Store<Py<PyAny>, Py<ValueFlight>>;
pub(super) type LeftFlights = Vec<Gone<Py<PyAny>, Py<ValueFlight>>>;
pub(super) type ValueFlights = Flights<Py<PyAny>, Py<ValueFlight>>;

#[pyclass(frozen, module = "nexus_core._core", name = "_Flight")]
pub(crate) struct ValueFlight {
    flight: Flight<Py<PyAny>, Bell>,
}

impl ValueFlight {
    pub(super) fn new(agent: Agent) -> Self {
        Self {
            flight: Flight::new(agent),
        }
    }
}

impl Deref for ValueFlight {
    type Target = Flight<Py<PyAny>, Bell>;

    fn deref(&self) -> &Self::Target {
        &self.flight
    }
}

#[pymethods]
impl ValueFlight {
    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        self.flight.try_each(
            |held| visit.call(held),
            |bell| {
                visit.call(&bell.mailbox)?;
                visit.call(&bell.callback)
            },
        )
    }

    fn __clear__(&self) {
        drop(self.flight.empty());
    }
}
