//! `get_or_set` on a thread.

use std::sync::atomic::Ordering;

use pyo3::prelude::*;

use crate::core::cache::{Agent, Ending};

use super::arguments::SIGNAL_INTERVAL;
use super::load::Seat;
use super::native::NativeCache;

/// Whoever computes: if it comes to no end, somebody else computes.
struct Pilot<'a, 'py> {
    py: Python<'py>,
    cache: &'a NativeCache,
    seat: &'a Seat,
}

impl Drop for Pilot<'_, '_> {
    fn drop(&mut self) {
        self.seat.end(self.py, self.cache, Ending::Abandoned);
    }
}

impl NativeCache {
    /// The value of a key, computed once for all who ask meanwhile.
    pub(super) fn load<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        hash: u64,
        factory: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
        ttl: Option<u64>,
        tags: &[String],
    ) -> PyResult<Py<PyAny>> {
        let py = key.py();
        let agent = Agent::here(0);
        loop {
            let seat = self.board(key, hash, agent, tags)?;
            if seat.is_mine {
                return self.compute(&seat, key, factory, ttl, tags);
            }
            if let Some(outcome) = self.await_seat(py, &seat, agent)? {
                return outcome;
            }
        }
    }

    fn compute<'py>(
        &self,
        seat: &Seat,
        key: &Bound<'py, PyAny>,
        factory: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
        ttl: Option<u64>,
        tags: &[String],
    ) -> PyResult<Py<PyAny>> {
        let py = key.py();
        let _pilot = Pilot {
            py,
            cache: self,
            seat,
        };
        // Between the look that missed and the seat somebody may have landed.
        match self.written_meanwhile(key, seat.hash) {
            Ok(Some(value)) => {
                seat.end(py, self, Ending::Value(value.clone().unbind()));
                return Ok(value.unbind());
            }
            Ok(None) => {}
            Err(error) => return Err(self.crashed(py, seat, error)),
        }
        match factory() {
            Ok(value) => {
                self.landed(seat, &value, ttl, tags)?;
                Ok(value.unbind())
            }
            Err(error) => Err(self.crashed(py, seat, error)),
        }
    }

    /// What somebody else computed; `None` if they were interrupted.
    fn await_seat(
        &self,
        py: Python<'_>,
        seat: &Seat,
        agent: Agent,
    ) -> PyResult<Option<PyResult<Py<PyAny>>>> {
        if !seat.is_over() {
            let _waiting = seat.wait_here(py, agent)?;
            self.loads.waits.fetch_add(1, Ordering::Relaxed);
            let flight = seat.flight.get();
            // The handler of a signal may have forked: nobody computes in the child.
            while !seat.flight.get().is_inherited() && !seat.is_over() {
                py.detach(|| flight.wait(SIGNAL_INTERVAL));
                py.check_signals()?;
            }
        }
        if seat.flight.get().is_inherited() {
            return Ok(None);
        }
        Ok(seat.outcome(py))
    }
}
