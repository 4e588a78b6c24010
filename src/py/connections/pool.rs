//! The native part of `ConnectionPool`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::core::connections::{Crew, Lease, Next, NotOut, Rules};
use crate::core::locks::Mutex;
use crate::core::threads::{PerProcess, fork_generation};
use crate::py::durations::durations;
use crate::py::engine::LoopMailbox;
use crate::py::errors;

use super::arguments::Patience;
use super::attendant::{Attendant, is_good};
use super::checkout::Checkout;
use super::figures::{counters_dict, gauges_dict, rules_from_dict};
use super::hooks::{Home, HookSet, Hooks};
use super::loop_driver::{LoopBell, LoopDriver, Onlooker, PoolTask};
use super::member::Core;

/// What `ConnectionPool` is built on; its arguments are checked there.
#[pyclass(
    frozen,
    subclass,
    weakref,
    module = "nexus_core._core",
    name = "_ConnectionPool"
)]
pub(crate) struct NativeConnectionPool {
    core: PerProcess<Arc<Core>>,
    pub(super) hooks: Arc<Hooks>,
    pub(super) name: String,
    timeout: f64,
    /// As they are now: a forked child begins with them.
    rules: Mutex<Rules>,
    threads: usize,
    is_asynchronous: bool,
    pub(super) checks_on_caller: bool,
    pub(super) captures_stack: bool,
    seed: AtomicU64,
}

impl NativeConnectionPool {
    /// This process's pool: a forked child begins with an empty one, and neither uses
    /// nor closes what its parent has.
    #[inline]
    pub(super) fn core(&self) -> &Arc<Core> {
        self.core.get(|| self.fresh())
    }

    #[cold]
    fn fresh(&self) -> Arc<Core> {
        let rules = self.rules.lock().clone();
        let seed = self.seed.load(Ordering::Relaxed) ^ u64::from(std::process::id());
        let hooks = Arc::clone(&self.hooks);
        make_core(
            rules,
            hooks,
            &self.name,
            self.threads,
            self.is_asynchronous,
            seed,
        )
    }

    pub(super) fn effective(&self, timeout: Option<f64>) -> f64 {
        timeout.unwrap_or(self.timeout)
    }

    pub(super) fn is_of_this_process(lease: Lease) -> bool {
        lease.serial >> Lease::ERA_SHIFT == fork_generation()
    }
}

fn make_core(
    rules: Rules,
    hooks: Arc<Hooks>,
    name: &str,
    threads: usize,
    is_asynchronous: bool,
    seed: u64,
) -> Arc<Core> {
    let era = fork_generation();
    if is_asynchronous {
        return Core::new(rules, era, seed, Box::new(LoopDriver { hooks }));
    }
    let attendant = Arc::new(Attendant {
        hooks,
        name: name.to_owned(),
    });
    let crew = Crew::new(threads, format!("nexus-core-{name}"), attendant);
    Core::new(rules, era, seed, Box::new(crew))
}

#[pymethods]
impl NativeConnectionPool {
    #[new]
    #[pyo3(signature = (name, timeout, threads, asynchronous, check_in_caller, rules, hooks))]
    fn new(
        name: String,
        timeout: f64,
        threads: usize,
        asynchronous: bool,
        check_in_caller: bool,
        rules: &Bound<'_, PyDict>,
        hooks: &Bound<'_, PyDict>,
    ) -> PyResult<Self> {
        let rules = rules_from_dict(rules)?;
        let hooks = Hooks::new(HookSet::from_dict(hooks)?);
        let seed = std::ptr::from_ref(&*hooks).addr() as u64
            ^ std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |since| u64::from(since.subsec_nanos()) << 20);
        let core = make_core(
            rules.clone(),
            Arc::clone(&hooks),
            &name,
            threads,
            asynchronous,
            seed,
        );
        Ok(Self {
            core: PerProcess::new(core),
            hooks,
            timeout,
            checks_on_caller: check_in_caller,
            captures_stack: rules.leak_limit.is_some(),
            rules: Mutex::new(rules),
            threads,
            is_asynchronous: asynchronous,
            name,
            seed: AtomicU64::new(seed),
        })
    }

    /// Begins to make `min_size` connections.
    fn _start(&self) {
        self.core().start(Instant::now());
    }

    /// The pool's name.
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// How long callers wait by default, in seconds.
    #[getter]
    fn timeout(&self) -> f64 {
        self.timeout
    }

    /// Connections that are there always.
    #[getter]
    fn min_size(&self) -> usize {
        self.rules.lock().min_size
    }

    /// Connections that are there at most.
    #[getter]
    fn max_size(&self) -> usize {
        self.rules.lock().max_size
    }

    /// Whether the pool was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.core().is_closed()
    }

    /// Whether its callables are coroutine functions.
    #[getter]
    fn asynchronous(&self) -> bool {
        self.is_asynchronous
    }

    /// A connection for the length of a `with` block.
    ///
    /// It goes back to the pool when the block ends, however it ends. Waiting callers
    /// are served in the order in which they came, and newcomers do not overtake them.
    ///
    /// Args:
    ///     timeout: Seconds to wait for a connection; the pool's own by default.
    ///
    /// Returns:
    ///     A context manager that gives the connection.
    ///
    /// Raises:
    ///     PoolTimeout: On entering, if none came in time.
    ///     TooManyWaiting: On entering, if `max_waiting` callers wait already.
    ///     PoolClosed: On entering, if the pool is closed or gets closed meanwhile.
    ///
    /// Example:
    ///     >>> import sqlite3
    ///     >>> from nexus_core import ConnectionPool
    ///     >>> def connect():
    ///     ...     return sqlite3.connect(":memory:", check_same_thread=False)
    ///     >>> with ConnectionPool(connect, name="numbers") as pool:
    ///     ...     with pool.connection() as connection:
    ///     ...         connection.execute("select 6 * 7").fetchone()
    ///     (42,)
    #[pyo3(signature = (timeout=None))]
    fn connection(slf: Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Checkout> {
        let this = slf.get();
        this.refuse_if_asynchronous(slf.py(), "connection()", "aconnection()")?;
        let timeout = this.effective(timeout);
        Ok(Checkout::new(slf.unbind(), timeout))
    }

    /// Takes a connection out until `putconn()` brings it back.
    ///
    /// One whose last reference is dropped without that is replaced within a second or
    /// two, and counted in `returns_dropped`.
    ///
    /// Args:
    ///     timeout: Seconds to wait for a connection; the pool's own by default.
    ///
    /// Returns:
    ///     The connection.
    ///
    /// Raises:
    ///     PoolTimeout: If none came in time.
    ///     TooManyWaiting: If `max_waiting` callers wait already.
    ///     PoolClosed: If the pool is closed or gets closed meanwhile.
    ///
    /// Example:
    ///     >>> from nexus_core import ConnectionPool
    ///     >>> pool = ConnectionPool(object)
    ///     >>> connection = pool.getconn()
    ///     >>> pool.putconn(connection)
    ///     >>> pool.close()
    #[pyo3(signature = (timeout=None))]
    fn getconn(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        self.refuse_if_asynchronous(py, "getconn()", "agetconn()")?;
        let timeout = self.effective(timeout);
        self.borrow(py, timeout, true)
            .map(|(_, connection)| connection)
    }

    /// Brings a connection back that `getconn()` took out.
    ///
    /// Args:
    ///     connection: The connection.
    ///     broken: Whether it is to be replaced instead of used again.
    ///
    /// Raises:
    ///     ForeignConnection: If it is not the pool's, or was returned already; nothing
    ///         changes then.
    ///
    /// Example:
    ///     >>> from nexus_core import ConnectionPool
    ///     >>> pool = ConnectionPool(object)
    ///     >>> connection = pool.getconn()
    ///     >>> pool.putconn(connection, broken=True)
    ///     >>> pool.getconn() is connection
    ///     False
    ///     >>> pool.close()
    #[pyo3(signature = (connection, broken=false))]
    fn putconn(&self, py: Python<'_>, connection: &Bound<'_, PyAny>, broken: bool) -> PyResult<()> {
        self.bring_back(py, connection, broken, self.is_asynchronous)
    }

    /// As `putconn`, with the reset done elsewhere.
    fn _putconn_later(
        &self,
        py: Python<'_>,
        connection: &Bound<'_, PyAny>,
        broken: bool,
    ) -> PyResult<()> {
        self.bring_back(py, connection, broken, true)
    }

    /// Says that a connection which is out is broken: it is replaced when it comes back.
    ///
    /// Args:
    ///     connection: The connection, inside its `with` block or before `putconn()`.
    ///
    /// Raises:
    ///     ForeignConnection: If it is not the pool's, or was returned already.
    ///
    /// Example:
    ///     >>> from nexus_core import ConnectionPool
    ///     >>> pool = ConnectionPool(object)
    ///     >>> with pool.connection() as connection:
    ///     ...     pool.discard(connection)
    ///     >>> with pool.connection() as another:
    ///     ...     another is connection
    ///     False
    ///     >>> pool.close()
    fn discard(&self, py: Python<'_>, connection: &Bound<'_, PyAny>) -> PyResult<()> {
        let lease = self.lease_of(py, connection)?;
        if self.core().doom(lease) {
            return Ok(());
        }
        Err(self.not_out(py, connection, NotOut::AlreadyReturned))
    }

    /// Replaces all connections: idle ones now, those that are out once they come back.
    ///
    /// Example:
    ///     >>> from nexus_core import ConnectionPool
    ///     >>> pool = ConnectionPool(object)
    ///     >>> with pool.connection() as before:
    ///     ...     pool.drain()
    ///     >>> with pool.connection() as after:
    ///     ...     after is before
    ///     False
    ///     >>> pool.close()
    fn drain(&self) {
        self.core().drain(Instant::now());
    }

    fn _resize(&self, min_size: usize, max_size: usize) {
        let mut rules = self.rules.lock();
        rules.min_size = min_size;
        rules.max_size = max_size;
        drop(rules);
        self.core().resize(min_size, max_size, Instant::now());
    }

    /// Whether a connection is good, where the caller is to find that out.
    fn _passes(&self, py: Python<'_>, connection: &Bound<'_, PyAny>) -> PyResult<bool> {
        if self.checks_on_caller {
            return is_good(py, &self.hooks, connection.as_unbound());
        }
        Ok(true)
    }

    fn _check(&self, py: Python<'_>) {
        if self.hooks.get(py, |set| set.check.as_ref()).is_some() {
            self.core().check();
        }
    }

    /// Whether `min_size` connections were there within so many seconds.
    fn _wait_filled(&self, py: Python<'_>, timeout: f64) -> PyResult<bool> {
        self.look_on(py, timeout, |core| core.is_filled() || core.is_closed())
    }

    /// Closes; whether that was all done within so many seconds.
    fn _close(&self, py: Python<'_>, timeout: f64) -> PyResult<bool> {
        let core = self.core();
        if core.close(Instant::now()) && !core.is_wound_up() {
            self.hooks.keep(py);
            if core.is_wound_up() {
                self.hooks.let_go();
            }
        }
        self.look_on(py, timeout, Core::is_wound_up)
    }

    #[getter]
    fn _is_filled(&self) -> bool {
        self.core().is_filled()
    }

    #[getter]
    fn _is_wound_up(&self) -> bool {
        self.core().is_wound_up()
    }

    /// The error of a caller that waited in vain for so many seconds.
    fn _too_late(&self, py: Python<'_>, waited: f64) -> Py<PyAny> {
        let since = Duration::try_from_secs_f64(waited)
            .ok()
            .and_then(|waited| Instant::now().checked_sub(waited))
            .unwrap_or_else(Instant::now);
        let error = self.too_late(py, self.core(), since);
        errors::exception(py, &error).into_any().unbind()
    }

    /// Has a callback called on a loop when something changes about the pool's size,
    /// once, for as long as what this returns is kept.
    fn _ring_on_change(&self, mailbox: Py<LoopMailbox>, callback: Py<PyAny>) -> Onlooker {
        let bell = Box::new(LoopBell { mailbox, callback });
        Onlooker::new(Arc::clone(self.core()), bell)
    }

    /// A checkout for an event loop's task.
    fn _checkout(slf: Bound<'_, Self>) -> Checkout {
        Checkout::new(slf.unbind(), f64::NAN)
    }

    /// Has somebody look for tasks.
    fn _call(&self) {
        self.core().remind();
    }

    /// The loop on which the pool's tasks run.
    fn _bind(&self, mailbox: Py<LoopMailbox>, pump: Py<PyAny>) {
        let era = fork_generation();
        self.hooks.settle(Home { era, mailbox, pump });
        self.core().start(Instant::now());
    }

    /// The next task, or the seconds until there may be one, or `None`.
    fn _next_task(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let core = self.core();
        let now = Instant::now();
        match core.next(now) {
            Next::Do(task, _) => {
                let hooks = Arc::clone(&self.hooks);
                let task = PoolTask::new(Arc::clone(core), hooks, self.name.clone(), task);
                Ok(Py::new(py, task)?.into_any())
            }
            Next::Sleep(Some(until)) => {
                let left = until.saturating_duration_since(now).as_secs_f64();
                Ok(left.into_pyobject(py)?.into_any().unbind())
            }
            Next::Sleep(None) | Next::End => Ok(py.None()),
        }
    }

    fn _gauges<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        gauges_dict(py, &self.core().gauges())
    }

    fn _counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        counters_dict(py, &self.core().counters())
    }

    /// Waits, usage and attempts to connect, as histograms.
    fn _histograms<'py>(&self, py: Python<'py>) -> PyResult<[Bound<'py, PyDict>; 3]> {
        let core = self.core();
        Ok([
            durations(py, &core.waits.snapshot())?,
            durations(py, &core.usage.snapshot())?,
            durations(py, &core.connects.snapshot())?,
        ])
    }

    fn _last_error(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.core().last_error(|fault| fault.0.clone_ref(py))
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        self.hooks.traverse(&visit)?;
        match self.core.own() {
            Some(core) => core.try_visit(
                |member| {
                    visit.call(&member.connection)?;
                    visit.call(&member.stack)
                },
                |fault| visit.call(&fault.0),
            ),
            None => Ok(()),
        }
    }

    fn __clear__(&self) {
        self.hooks.clear();
        if let Some(core) = self.core.own() {
            core.close(Instant::now());
        }
    }
}

impl NativeConnectionPool {
    fn refuse_if_asynchronous(&self, py: Python<'_>, called: &str, instead: &str) -> PyResult<()> {
        if !self.is_asynchronous {
            return Ok(());
        }
        let text = format!("{called} cannot wait for coroutine functions; use {instead}");
        Err(errors::raise(py, "PoolMisuse", (&self.name, text)))
    }

    /// Waits until something holds of the pool; whether it does.
    fn look_on(
        &self,
        py: Python<'_>,
        timeout: f64,
        holds: impl Fn(&Core) -> bool,
    ) -> PyResult<bool> {
        let core = self.core();
        let patience = Patience::of_seconds(timeout, "timeout")?;
        while !holds(core) {
            let Some(nap) = patience.nap() else {
                return Ok(false);
            };
            let onlooker = core.look_on(None, Instant::now());
            if !holds(core) {
                py.detach(|| onlooker.park(nap));
            }
            core.look_away(&onlooker);
            py.check_signals()?;
            core.remind();
        }
        Ok(true)
    }
}

impl Drop for NativeConnectionPool {
    fn drop(&mut self) {
        // Its threads end, and what nobody uses is closed.
        if let Some(core) = self.core.own() {
            core.close(Instant::now());
        }
    }
}
