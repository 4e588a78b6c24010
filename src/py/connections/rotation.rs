//! `Rotation`: the fair hand-off alone, for pools whose users make what they use.

use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::exceptions::{PyTimeoutError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList};

use crate::core::connections::{self as core, Entry, Grant, Identity, Order};
use crate::core::threads::PerProcess;

use super::arguments::Patience;
use super::item::Item;

type Core = core::Rotation<Item>;

/// Hands items from one user to the next, first come, first served.
#[pyclass(frozen, weakref, module = "nexus_core._core")]
pub(crate) struct Rotation {
    core: PerProcess<Core>,
    max_size: AtomicUsize,
    max_idle: AtomicUsize,
    order: Order,
}

/// What stands for the permit to make an item.
#[pyclass(frozen, module = "nexus_core._core")]
struct Create;

#[pymethods]
impl Create {
    #[allow(clippy::unused_self)]
    fn __repr__(&self) -> &'static str {
        "Rotation.CREATE"
    }
}

/// The one object of its class.
fn mark(py: Python<'_>) -> PyResult<Py<PyAny>> {
    static MARK: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    MARK.get_or_try_init(py, || Py::new(py, Create).map(Py::into_any))
        .map(|mark| mark.clone_ref(py))
}

/// A number of items; `None` is no limit.
fn bound(given: Option<i64>, name: &str, least: i64) -> PyResult<usize> {
    match given {
        None => Ok(usize::MAX),
        Some(size) if size >= least => Ok(usize::try_from(size).unwrap_or(usize::MAX)),
        Some(size) => Err(PyValueError::new_err(format!(
            "{name} must be at least {least}, or None for no limit, got {size}"
        ))),
    }
}

fn shown(size: usize) -> Option<usize> {
    (size != usize::MAX).then_some(size)
}

impl Rotation {
    /// This process's rotation: a forked child begins with an empty one, and keeps
    /// what its parent has untouched.
    fn core(&self) -> &Core {
        self.core.get(|| self.fresh())
    }

    #[cold]
    fn fresh(&self) -> Core {
        let size = |size: &AtomicUsize| size.load(Ordering::Relaxed);
        Core::new(size(&self.max_size), size(&self.max_idle), self.order)
    }

    fn wait(&self, py: Python<'_>, timeout: f64, patience: Patience) -> PyResult<Grant<Item>> {
        let core = self.core();
        let waiter = match core.enter(true, None) {
            Entry::Granted(grant) => return Ok(grant),
            Entry::Unavailable => return Err(too_late(core, timeout)),
            Entry::Queued(waiter) => waiter,
        };
        let given = loop {
            let Some(nap) = patience.nap() else {
                break core.give_up(&waiter);
            };
            if let Some(given) = py.detach(|| waiter.park(nap)) {
                break Some(given);
            }
            if let Err(interruption) = py.check_signals() {
                match core.give_up(&waiter) {
                    Some(Grant::Item(item)) => {
                        let key = item.key();
                        if let Ok(Some(surplus)) = core.release(item) {
                            drop(surplus);
                            core.forfeit(Some(key));
                        }
                    }
                    Some(Grant::Permit) => drop(core.forfeit(None)),
                    None => {}
                }
                return Err(interruption);
            }
        };
        let given = given.ok_or_else(|| too_late(core, timeout))?;
        core.waited(&waiter);
        Ok(given)
    }
}

#[cold]
fn too_late(core: &Core, timeout: f64) -> PyErr {
    let counts = core.counts();
    PyTimeoutError::new_err(format!(
        "no item within {timeout} s: {} are in use, {} others wait",
        counts.in_use, counts.waiting,
    ))
}

#[pymethods]
impl Rotation {
    #[new]
    #[pyo3(signature = (max_size=None, *, max_idle=None, order="fifo"))]
    fn new(max_size: Option<i64>, max_idle: Option<i64>, order: &str) -> PyResult<Self> {
        let order = match order {
            "fifo" => Order::Fifo,
            "lifo" => Order::Lifo,
            other => {
                return Err(PyValueError::new_err(format!(
                    "order must be 'fifo' or 'lifo', got '{other}'"
                )));
            }
        };
        let max_size = bound(max_size, "max_size", 1)?;
        let max_idle = bound(max_idle, "max_idle", 0)?;
        Ok(Self {
            core: PerProcess::new(Core::new(max_size, max_idle, order)),
            max_size: AtomicUsize::new(max_size),
            max_idle: AtomicUsize::new(max_idle),
            order,
        })
    }

    /// What `acquire()` returns to one who is to make an item.
    #[classattr]
    #[pyo3(name = "CREATE")]
    fn create(py: Python<'_>) -> PyResult<Py<PyAny>> {
        mark(py)
    }

    /// An idle item, `CREATE`, or what others give back within `timeout` seconds.
    #[pyo3(signature = (timeout=None))]
    fn acquire(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        let seconds = timeout.unwrap_or(f64::INFINITY);
        // Only who waits needs the clock.
        let grant = match self.core().enter(false, None) {
            Entry::Granted(grant) => grant,
            _ => self.wait(py, seconds, Patience::of_seconds(seconds, "timeout")?)?,
        };
        match grant {
            Grant::Item(item) => Ok(item.0),
            Grant::Permit => mark(py),
        }
    }

    /// Takes an item back, or one newly made; whether it was kept. Otherwise it is one
    /// too many: the caller disposes of it, and then forfeits its place.
    fn release(&self, item: Bound<'_, PyAny>) -> PyResult<bool> {
        match self.core().release(Item(item.unbind())) {
            Ok(surplus) => Ok(surplus.is_none()),
            Err(_) => Err(PyValueError::new_err(
                "this item is not out: it was returned already, or was never acquired here",
            )),
        }
    }

    /// Gives up the place of an item that was discarded or, without one, a permit.
    #[pyo3(signature = (item=None))]
    fn forfeit(&self, item: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let key = item.map(|item| item.as_ptr() as usize);
        if self.core().forfeit(key) {
            return Ok(());
        }
        Err(PyValueError::new_err(
            "there is no such place: the item is not out, and no permit either",
        ))
    }

    /// Other bounds; returns the idle items that have no place any more.
    #[pyo3(signature = (max_size=None, *, max_idle=None))]
    fn resize<'py>(
        &self,
        py: Python<'py>,
        max_size: Option<i64>,
        max_idle: Option<i64>,
    ) -> PyResult<Bound<'py, PyList>> {
        let max_size = bound(max_size, "max_size", 1)?;
        let max_idle = bound(max_idle, "max_idle", 0)?;
        self.max_size.store(max_size, Ordering::Relaxed);
        self.max_idle.store(max_idle, Ordering::Relaxed);
        let surplus = self.core().resize(max_size, max_idle);
        PyList::new(py, surplus.into_iter().map(|item| item.0))
    }

    /// Takes out all idle items, and returns them.
    fn drain<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.core().drain().into_iter().map(|item| item.0))
    }

    #[getter]
    fn max_size(&self) -> Option<usize> {
        shown(self.max_size.load(Ordering::Relaxed))
    }

    #[getter]
    fn max_idle(&self) -> Option<usize> {
        shown(self.max_idle.load(Ordering::Relaxed))
    }

    /// Items that lie ready.
    #[getter]
    fn idle(&self) -> usize {
        self.core().counts().idle
    }

    /// Items and permits that are out.
    #[getter]
    fn in_use(&self) -> usize {
        self.core().counts().in_use
    }

    /// Those who wait in line.
    #[getter]
    fn waiting(&self) -> usize {
        self.core().counts().waiting
    }

    /// Counts, and how long those waited who had to, in seconds.
    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let core = self.core();
        let counts = core.counts();
        let waits = core.waits();
        let dict = PyDict::new(py);
        dict.set_item("idle", counts.idle)?;
        dict.set_item("in_use", counts.in_use)?;
        dict.set_item("waiting", counts.waiting)?;
        dict.set_item("acquired", counts.acquired)?;
        dict.set_item("permits", counts.permits)?;
        dict.set_item("queued", counts.queued)?;
        dict.set_item("given_up", counts.given_up)?;
        dict.set_item("released", counts.released)?;
        dict.set_item("forfeited", counts.forfeited)?;
        dict.set_item("wait_total", waits.total.as_secs_f64())?;
        dict.set_item("wait_p50", waits.quantile(0.5).as_secs_f64())?;
        dict.set_item("wait_p90", waits.quantile(0.9).as_secs_f64())?;
        dict.set_item("wait_p99", waits.quantile(0.99).as_secs_f64())?;
        dict.set_item("wait_max", waits.longest.as_secs_f64())?;
        Ok(dict)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        match self.core.own() {
            Some(core) => core.try_visit(|item| visit.call(&item.0)),
            None => Ok(()),
        }
    }

    fn __clear__(&self) {
        drop(self.core().drain());
    }
}
