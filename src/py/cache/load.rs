//! The computation of a missing value, by one for all who ask.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::core::cache::{Agent, Ending, Flights, Place, Waiting, wait_for};
use crate::core::locks::Mutex;
use crate::py::engine::LoopMailbox;
use crate::py::errors;

use super::arguments;
use super::flight::{Bell, FlightStore, LeftFlights, ValueFlight};
use super::keys::{Itself, Wanted};
use super::left::Left;
use super::native::{Entries, NativeCache, Origin};

/// The place of one caller at a missing value: the one that computes, or one that waits.
pub(super) struct Seat {
    pub(super) flight: Py<ValueFlight>,
    pub(super) is_mine: bool,
    key: Py<PyAny>,
    pub(super) hash: u64,
    began: Instant,
    is_over: AtomicBool,
}

impl NativeCache {
    /// Takes a seat: the first to come computes.
    pub(super) fn board(
        &self,
        key: &Bound<'_, PyAny>,
        hash: u64,
        agent: Agent,
        tags: &[String],
    ) -> PyResult<Seat> {
        let py = key.py();
        // Made before anything is locked: an allocation may begin a garbage collection.
        let fresh = Py::new(py, ValueFlight::new(agent))?;
        let pair = (key.clone().unbind(), fresh);
        let flights = self.flights.get(Flights::default);
        let (flight, is_mine) = flights.board(hash, &Wanted(key), tags, pair, |flight| {
            flight.clone_ref(py)
        })?;
        Ok(Seat {
            flight,
            is_mine,
            key: key.clone().unbind(),
            hash,
            began: Instant::now(),
            is_over: AtomicBool::new(false),
        })
    }

    /// Has computations that are under way not kept, since their keys are written or
    /// removed; who asks from now on does not wait for them.
    fn overrule(&self, remove: impl FnOnce(&mut FlightStore, &mut LeftFlights)) {
        for each in self.flights.get(Flights::default).overrule(remove) {
            each.value.get().overrule();
        }
    }

    /// The same, of one key.
    pub(super) fn overrule_key(&self, key: &Bound<'_, PyAny>, hash: u64) -> PyResult<()> {
        let flights = self.flights.get(Flights::default);
        for each in flights.overrule_key(hash, &Wanted(key))? {
            each.value.get().overrule();
        }
        Ok(())
    }

    /// Changes an entry for a user, so that no computation under way undoes it.
    #[inline]
    pub(super) fn change<R>(
        &self,
        key: &Bound<'_, PyAny>,
        hash: u64,
        act: impl FnOnce(&mut Entries, u64, Option<Place>, &mut Left) -> R,
    ) -> PyResult<R> {
        let flights = self.flights.get(Flights::default);
        let done = self.at(key, hash, |store, hash, place, left| {
            if flights.are_any() {
                return Err(act);
            }
            Ok(act(store, hash, place, left))
        })?;
        match done {
            Ok(done) => Ok(done),
            Err(act) => {
                self.overrule_key(key, hash)?;
                self.at(key, hash, act)
            }
        }
    }

    /// The same, of any entries.
    pub(super) fn change_all<R>(
        &self,
        py: Python<'_>,
        overrule: impl FnOnce(&mut FlightStore, &mut LeftFlights),
        act: impl FnOnce(&mut Entries, &mut Left) -> R,
    ) -> PyResult<R> {
        let flights = self.flights.get(Flights::default);
        let done = self.whole(py, |store, left| {
            if flights.are_any() {
                return Err(act);
            }
            Ok(act(store, left))
        })?;
        match done {
            Ok(done) => Ok(done),
            Err(act) => {
                self.overrule(overrule);
                self.whole(py, act)
            }
        }
    }

    /// What somebody wrote since the caller looked; counts nothing.
    pub(super) fn written_meanwhile<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        hash: u64,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let now = self.now_if_needed(key.py())?;
        self.at(key, hash, |store, _, place, _| {
            let value = place.and_then(|place| store.peek(place, now));
            value.map(|value| value.bind(key.py()).clone())
        })
    }

    /// The value that was computed: it is written, and everybody gets it.
    pub(super) fn landed(
        &self,
        seat: &Seat,
        value: &Bound<'_, PyAny>,
        ttl: Option<u64>,
        tags: &[String],
    ) -> PyResult<()> {
        let py = value.py();
        self.loads.took.record(seat.began.elapsed());
        let written = self.write(
            seat.key.bind(py),
            seat.hash,
            value,
            ttl,
            tags,
            Origin::Load(seat.flight.get()),
        );
        match written {
            Ok(()) => {
                seat.end(py, self, Ending::Value(value.clone().unbind()));
                Ok(())
            }
            Err(error) => Err(self.crashed(py, seat, error)),
        }
    }

    /// What went wrong, which everybody is told; an interruption concerns the caller alone.
    pub(super) fn crashed(&self, py: Python<'_>, seat: &Seat, error: PyErr) -> PyErr {
        let ending = if error.is_instance_of::<pyo3::exceptions::PyException>(py) {
            self.loads.failures.fetch_add(1, Ordering::Relaxed);
            Ending::Failed(errors::exception(py, &error).into_any().unbind())
        } else {
            Ending::Abandoned
        };
        seat.end(py, self, ending);
        error
    }
}

impl Seat {
    /// Ends the computation; what ends it first counts.
    pub(super) fn end(&self, py: Python<'_>, cache: &NativeCache, ending: Ending<Py<PyAny>>) {
        if !self.is_mine || self.is_over.swap(true, Ordering::AcqRel) {
            return;
        }
        let flights = cache.flights.get(Flights::default);
        // A forked child may have another computation of the same key.
        let is_it = |flight: &Py<ValueFlight>| flight.is(&self.flight);
        let left: Result<_, Infallible> =
            flights.landed(self.hash, &Itself(self.key.bind(py)), is_it);
        let Ok(left) = left;
        drop(left);
        for bell in self.flight.get().end(ending) {
            if let Err(error) = LoopMailbox::post(bell.mailbox.bind(py), bell.callback) {
                error.write_unraisable(py, None);
            }
        }
    }

    /// How it ended: `None` if that is open, or was an interruption.
    pub(super) fn outcome(&self, py: Python<'_>) -> Option<PyResult<Py<PyAny>>> {
        let ended = self.flight.get().look(|ending| match ending {
            Ending::Value(value) => Some(Ok(value.clone_ref(py))),
            Ending::Failed(error) => Some(Err(error.clone_ref(py))),
            Ending::Abandoned => None,
        })?;
        Some(ended?.map_err(|error| PyErr::from_value(error.into_bound(py))))
    }

    pub(super) fn is_over(&self) -> bool {
        self.flight.get().look(|_| ()).is_some()
    }

    /// Notes that the agent waits here, unless it would wait for itself.
    pub(super) fn wait_here(&self, py: Python<'_>, agent: Agent) -> PyResult<Waiting> {
        wait_for(agent, &self.flight.get().goal)
            .map_err(|_| errors::raise(py, "RecursiveLoad", (self.key.clone_ref(py),)))
    }
}

/// A caller of `aget_or_set`, while the value is missing.
#[pyclass(frozen, module = "nexus_core._core", name = "_Load")]
pub(crate) struct Load {
    cache: Py<NativeCache>,
    seat: Seat,
    agent: Agent,
    waiting: Mutex<Option<(u64, Waiting)>>,
}

impl Load {
    pub(super) fn new(cache: Py<NativeCache>, seat: Seat, agent: Agent) -> Self {
        Self {
            cache,
            seat,
            agent,
            waiting: Mutex::new(None),
        }
    }

    /// Whether the key was written or removed since: what is computed is not kept.
    pub(crate) fn is_overruled(&self) -> bool {
        self.seat.flight.get().is_overruled()
    }

    /// Whether its end has come, so that it is not told of changes any more.
    pub(crate) fn is_over(&self) -> bool {
        self.seat.is_over()
    }

    /// Nothing is written any more.
    pub(crate) fn give_up(&self, py: Python<'_>) {
        self.seat.end(py, self.cache.get(), Ending::Abandoned);
    }

    fn leave_line(&self) {
        let place = self.waiting.lock().take();
        if let Some((number, _waiting)) = place {
            drop(self.seat.flight.get().leave(number));
        }
    }
}

#[pymethods]
impl Load {
    /// Whether this caller computes.
    #[getter]
    fn is_mine(&self) -> bool {
        self.seat.is_mine
    }

    /// Whether the key was written or removed since this caller came.
    #[getter(is_overruled)]
    fn is_overruled_for_python(&self) -> bool {
        self.is_overruled()
    }

    /// The value that was written before this caller came to compute it, in a tuple.
    fn found<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let cache = self.cache.get();
        let key = self.seat.key.bind(py);
        let found = match cache.written_meanwhile(key, self.seat.hash) {
            Ok(found) => found,
            Err(error) => return Err(cache.crashed(py, &self.seat, error)),
        };
        let Some(value) = found else {
            return Ok(None);
        };
        let ending = Ending::Value(value.clone().unbind());
        self.seat.end(py, cache, ending);
        PyTuple::new(py, [value]).map(Some)
    }

    /// Computed: the value is written, and everybody gets it.
    #[allow(clippy::needless_pass_by_value)] // PyO3 extracts it
    fn finish(
        &self,
        value: &Bound<'_, PyAny>,
        ttl: Option<f64>,
        tags: Vec<String>,
    ) -> PyResult<()> {
        let ttl = ttl.map(|seconds| arguments::duration("ttl", seconds));
        self.cache
            .get()
            .landed(&self.seat, value, ttl.transpose()?, &tags)
    }

    /// It failed, or was interrupted.
    fn fail(&self, py: Python<'_>, error: Bound<'_, PyAny>) {
        let cache = self.cache.get();
        drop(cache.crashed(py, &self.seat, PyErr::from_value(error)));
    }

    /// Has `callback` called on the loop once it is over; whether it is not yet.
    fn join(
        &self,
        py: Python<'_>,
        mailbox: Py<LoopMailbox>,
        callback: Py<PyAny>,
    ) -> PyResult<bool> {
        let waiting = self.seat.wait_here(py, self.agent)?;
        let cache = self.cache.get();
        cache.loads.waits.fetch_add(1, Ordering::Relaxed);
        match self.seat.flight.get().join(Bell { mailbox, callback }) {
            Ok(number) => {
                let earlier = self.waiting.lock().replace((number, waiting));
                if earlier.is_some() {
                    return Err(PyRuntimeError::new_err("this load is waited for already"));
                }
                Ok(true)
            }
            Err(_) => Ok(false),
        }
    }

    /// No longer waits.
    fn leave(&self) {
        self.leave_line();
    }

    /// The value in a tuple, or the error; `None` where it was interrupted.
    fn outcome<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        match self.seat.outcome(py) {
            Some(value) => PyTuple::new(py, [value?]).map(Some),
            None => Ok(None),
        }
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.cache)?;
        visit.call(&self.seat.key)?;
        visit.call(&self.seat.flight)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.leave_line();
        Python::try_attach(|py| {
            self.seat.end(py, self.cache.get(), Ending::Abandoned);
        });
    }
}
