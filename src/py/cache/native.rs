//! The cache itself: what it is made of, and how its entries come and go.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::core::cache::{Cause, Clock, Gone, Limits, NEVER, Nanos, Place, Policy, Store, Terms};
use crate::core::locks::Mutex;
use crate::core::metrics::Histogram;
use crate::core::threads::PerProcess;

use super::arguments;
use super::flight::{ValueFlight, ValueFlights};
use super::home::{Core, Home};
use super::keys::Wanted;
use super::left::Left;
use super::weigh::weigh;

pub(super) type Entries = Store<Py<PyAny>, Py<PyAny>>;

/// By how much the moment that is told roughly may be behind: far more than a tick of the
/// system, because a virtual machine may stand still.
const SLACK: Nanos = 1_000_000_000;

/// What the user gave the cache to call, until it is garbage.
pub(super) struct Hooks {
    /// `listener(key, value, cause)`
    listener: Option<Py<PyAny>>,
    timer: Option<Py<PyAny>>,
    /// `weigher(key, value)`
    weigher: Option<Py<PyAny>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Weigher {
    Entries,
    Bytes,
    Asked,
}

/// Who writes a value.
#[derive(Clone, Copy)]
pub(super) enum Origin<'a> {
    /// With its weight, if they know it.
    User(Option<u64>),
    Load(&'a ValueFlight),
}

/// How computations went.
#[derive(Default)]
pub(super) struct Loads {
    pub(super) took: Histogram,
    pub(super) failures: AtomicU64,
    pub(super) waits: AtomicU64,
}

impl Loads {
    pub(super) fn reset(&self) {
        self.took.reset();
        self.failures.store(0, Ordering::Relaxed);
        self.waits.store(0, Ordering::Relaxed);
    }
}

/// A cache of Python objects.
#[pyclass(
    frozen,
    subclass,
    weakref,
    module = "nexus_core._core",
    name = "_Cache"
)]
pub(crate) struct NativeCache {
    home: Home,
    pub(super) flights: PerProcess<ValueFlights>,
    hooks: Mutex<Option<Hooks>>,
    has_listener: bool,
    has_timer: bool,
    weigher: Weigher,
    pub(super) limits: Limits,
    pub(super) ttl: Option<Nanos>,
    /// Whether hits must look at the clock.
    expires: AtomicBool,
    clock: Clock,
    pub(super) loads: Loads,
}

/// The name that a listener is told.
fn cause_name(cause: Cause) -> &'static str {
    match cause {
        Cause::Size => "size",
        Cause::Expired => "expired",
        Cause::Explicit => "explicit",
        Cause::Replaced => "replaced",
    }
}

impl NativeCache {
    #[inline]
    pub(super) fn core(&self) -> &Core {
        self.home.core()
    }

    fn hook(
        &self,
        py: Python<'_>,
        which: impl FnOnce(&Hooks) -> Option<&Py<PyAny>>,
    ) -> Option<Py<PyAny>> {
        let hooks = self.hooks.lock();
        let hook = hooks.as_ref().and_then(which)?;
        Some(hook.clone_ref(py))
    }

    /// The moment, on the user's clock or ours.
    pub(super) fn now(&self, py: Python<'_>) -> PyResult<Nanos> {
        if self.has_timer
            && let Some(timer) = self.hook(py, |hooks| hooks.timer.as_ref())
        {
            return arguments::moment(timer.bind(py).call0()?.extract()?);
        }
        Ok(self.clock.now())
    }

    /// The moment, if anything depends on it.
    #[inline]
    pub(super) fn now_if_needed(&self, py: Python<'_>) -> PyResult<Nanos> {
        if self.expires.load(Ordering::Relaxed) {
            return self.now(py);
        }
        Ok(0)
    }

    /// The moment for a look at one entry, told roughly where that is enough to see that
    /// it lives.
    #[inline]
    fn about_now(&self, py: Python<'_>) -> PyResult<Nanos> {
        if !self.expires.load(Ordering::Relaxed) {
            return Ok(0);
        }
        if self.has_timer || self.limits.idle.is_some() {
            return self.now(py);
        }
        Ok(self.clock.lately())
    }

    /// The moment exactly, if the one that is told roughly does not say for certain that
    /// the entry lives.
    #[inline]
    fn sharpened(
        &self,
        about: Nanos,
        store: &Store<Py<PyAny>, Py<PyAny>>,
        place: Option<Place>,
    ) -> Nanos {
        if !self.has_timer
            && let Some(place) = place
            && store.has_expired(place, about.saturating_add(SLACK))
        {
            return self.clock.now();
        }
        about
    }

    /// The moment for an entry that is written. Where nothing expires it only tells the
    /// entry's age.
    #[inline]
    fn now_for_entry(&self, py: Python<'_>, ttl: Option<Nanos>) -> PyResult<Nanos> {
        if self.has_timer || ttl.is_some() || self.expires.load(Ordering::Relaxed) {
            return self.now(py);
        }
        Ok(self.clock.lately())
    }

    pub(super) fn weigh(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<u64> {
        let py = key.py();
        match self.weigher {
            Weigher::Entries => Ok(1),
            Weigher::Bytes => Ok(weigh(py, [key, value])?.min(arguments::HEAVIEST)),
            Weigher::Asked => match self.hook(py, |hooks| hooks.weigher.as_ref()) {
                Some(weigher) => arguments::weight(&weigher.bind(py).call1((key, value))?),
                None => Ok(1),
            },
        }
    }

    /// Tells the listener what left, and drops it.
    #[inline]
    pub(super) fn settle(&self, py: Python<'_>, left: Left) -> PyResult<()> {
        if left.is_empty() || !self.has_listener {
            return Ok(());
        }
        self.tell(py, left)
    }

    #[cold]
    fn tell(&self, py: Python<'_>, left: Left) -> PyResult<()> {
        let Some(listener) = self.hook(py, |hooks| hooks.listener.as_ref()) else {
            return Ok(());
        };
        let mut outcome = Ok(());
        for Gone { key, value, cause } in left {
            let told = listener.bind(py).call1((key, value, cause_name(cause)));
            outcome = outcome.and(told.map(drop));
        }
        outcome
    }

    /// Does something where a key is, and settles what left meanwhile.
    #[inline]
    pub(super) fn at<R>(
        &self,
        key: &Bound<'_, PyAny>,
        hash: u64,
        act: impl FnOnce(&mut Entries, u64, Option<Place>, &mut Left) -> R,
    ) -> PyResult<R> {
        let mut left = Left::default();
        let done = self.core().at(hash, &Wanted(key), |store, hash, place| {
            act(store, hash, place, &mut left)
        })?;
        self.settle(key.py(), left)?;
        Ok(done)
    }

    #[inline]
    pub(super) fn look_up<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        hash: u64,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = key.py();
        let about = self.about_now(py)?;
        self.at(key, hash, |store, hash, place, left| {
            let now = self.sharpened(about, store, place);
            store
                .get(hash, place, now, left)
                .map(|value| value.bind(py).clone())
        })
    }

    /// The value of a key, if it is there, as `get()` finds it. That it is not is left to
    /// be counted by `get_or_set()`, which comes next.
    pub(crate) fn found<'py>(
        &self,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = key.py();
        let about = self.about_now(py)?;
        self.at(
            key,
            super::mapping::hash(key)?,
            |store, hash, place, left| {
                let now = self.sharpened(about, store, place);
                let place = place.filter(|place| !store.has_expired(*place, now))?;
                let value = store.get(hash, Some(place), now, left)?;
                Some(value.bind(py).clone())
            },
        )
    }

    /// Until when a new entry lives.
    pub(super) fn end(&self, now: Nanos, ttl: Option<Nanos>) -> Nanos {
        let Some(ttl) = ttl.or(self.ttl) else {
            return NEVER;
        };
        if ttl != NEVER {
            self.expires.store(true, Ordering::Relaxed);
        }
        now.saturating_add(ttl)
    }

    /// Writes a value.
    pub(super) fn write(
        &self,
        key: &Bound<'_, PyAny>,
        hash: u64,
        value: &Bound<'_, PyAny>,
        ttl: Option<Nanos>,
        tags: &[String],
        origin: Origin<'_>,
    ) -> PyResult<()> {
        let py = key.py();
        let weight = match origin {
            Origin::User(Some(weight)) => weight,
            Origin::User(None) | Origin::Load(_) => self.weigh(key, value)?,
        };
        let now = self.now_for_entry(py, ttl)?;
        let terms = Terms {
            weight,
            expires: self.end(now, ttl),
            tags,
        };
        let pair = || (key.clone().unbind(), value.clone().unbind());
        let Origin::Load(flight) = origin else {
            return self.change(key, hash, |store, hash, place, left| {
                let place = store.valid(place, now, left);
                store.put(hash, place, pair(), now, terms, left);
            });
        };
        self.at(key, hash, |store, hash, place, left| {
            // Who wrote it since the computation began may have looked for it before.
            if !flight.is_overruled() && store.valid(place, now, left).is_none() {
                store.put(hash, None, pair(), now, terms, left);
            }
        })
    }

    /// Writes a value unless there is one; returns the one that is there.
    pub(super) fn write_new<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        hash: u64,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = key.py();
        let weight = self.weigh(key, value)?;
        let now = self.now_for_entry(py, None)?;
        let terms = Terms {
            weight,
            expires: self.end(now, None),
            tags: &[],
        };
        self.change(key, hash, |store, hash, place, left| {
            let place = store.valid(place, now, left);
            if let Some(there) = place.and_then(|place| store.peek(place, now)) {
                return there.bind(py).clone();
            }
            let pair = (key.clone().unbind(), value.clone().unbind());
            store.put(hash, None, pair, now, terms, left);
            value.clone()
        })
    }

    /// Does something with the whole, and settles what left.
    pub(super) fn whole<R>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut Entries, &mut Left) -> R,
    ) -> PyResult<R> {
        let mut left = Left::default();
        let done = act(&mut self.core().lock(), &mut left);
        self.settle(py, left)?;
        Ok(done)
    }

    /// The same, once everything that has expired is gone.
    pub(super) fn fresh<R>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut Entries, &mut Left) -> R,
    ) -> PyResult<R> {
        let now = self.now_if_needed(py)?;
        self.whole(py, |store, left| {
            store.expire(now, usize::MAX, left);
            act(store, left)
        })
    }
}

impl NativeCache {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn make(
        py: Python<'_>,
        maxsize: Option<u64>,
        is_lru: bool,
        ttl: Option<f64>,
        tti: Option<f64>,
        timer: Option<Py<PyAny>>,
        weigher: Option<Py<PyAny>>,
        listener: Option<Py<PyAny>>,
        what_if: Option<f64>,
    ) -> PyResult<Self> {
        let span = |name: &str, given: Option<f64>| -> PyResult<Option<Nanos>> {
            let span = given.map(|seconds| arguments::duration(name, seconds));
            Ok(span.transpose()?.filter(|span| *span != NEVER))
        };
        let weighs_bytes = match &weigher {
            Some(weigher) => weigher
                .extract::<String>(py)
                .is_ok_and(|name| name == "bytes"),
            None => false,
        };
        if weigher
            .as_ref()
            .is_some_and(|weigher| !weighs_bytes && !weigher.bind(py).is_callable())
        {
            return Err(PyValueError::new_err("weigher must be 'bytes' or callable"));
        }
        let limits = Limits {
            max_weight: maxsize,
            policy: if is_lru { Policy::Lru } else { Policy::TinyLfu },
            idle: span("tti", tti)?,
        };
        let ttl = span("ttl", ttl)?;
        Ok(Self {
            home: Home::new(limits, what_if),
            flights: PerProcess::new(ValueFlights::default()),
            has_listener: listener.is_some(),
            has_timer: timer.is_some(),
            weigher: match &weigher {
                None => Weigher::Entries,
                Some(_) if weighs_bytes => Weigher::Bytes,
                Some(_) => Weigher::Asked,
            },
            expires: AtomicBool::new(ttl.is_some() || limits.idle.is_some()),
            hooks: Mutex::new(Some(Hooks {
                listener,
                timer,
                weigher,
            })),
            limits,
            ttl,
            clock: Clock::default(),
            loads: Loads::default(),
        })
    }

    pub(super) fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        if let Some(hooks) = self.hooks.try_lock()
            && let Some(hooks) = hooks.as_ref()
        {
            visit.call(&hooks.listener)?;
            visit.call(&hooks.timer)?;
            visit.call(&hooks.weigher)?;
        }
        // Those that have expired included.
        if let Some(store) = self.core().try_lock() {
            for (key, value) in store.everything() {
                visit.call(key)?;
                visit.call(value)?;
            }
        }
        if let Some(flights) = self.flights.own() {
            flights.try_each(|key, flight| {
                visit.call(key)?;
                visit.call(flight)
            })?;
        }
        Ok(())
    }

    pub(super) fn forget(&self) {
        let hooks = self.hooks.lock().take();
        let mut left = Left::default();
        self.core().lock().clear(&mut left);
        let flights = self.flights.get(ValueFlights::default);
        let left_flights = flights.overrule(Store::clear);
        drop((hooks, left, left_flights));
    }
}
