//! The pool as Python sees it.

// Its docstrings are Python's.
#![allow(clippy::doc_markdown)]

use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::core::executor::{Ending, Executor, Limits, Statistics};
use crate::core::locks::Mutex;
use crate::py::durations::durations;
use crate::py::errors::raise;

use super::call::Call;
use super::exit::remember;
use super::future::FutureBase;
use super::host::Pool;
use super::life::cancel_all;
use super::seen;
use super::submission::{Terms, WhenFull, submit};
use super::waiting::{SIGNAL_INTERVAL, deadline};

struct Settings {
    when_full: WhenFull,
    submit_timeout: Option<f64>,
    carries_context: bool,
}

/// The native half of a thread pool.
#[pyclass(frozen, subclass, module = "nexus_core._core")]
pub(crate) struct ThreadPoolBase {
    settings: OnceLock<Settings>,
    /// A forked child makes its own and leaves the parent's alone, whose locks may
    /// be locked for ever.
    executor: AtomicPtr<Arc<Executor<Pool>>>,
    /// Kept for a child.
    limits: Mutex<Option<Limits>>,
    is_shut_down: AtomicBool,
}

impl ThreadPoolBase {
    fn known(&self) -> Option<&Arc<Executor<Pool>>> {
        // SAFETY: null, or leaked from a box, which only `drop` frees.
        unsafe { self.executor.load(Ordering::Acquire).as_ref() }
    }

    #[inline]
    fn executor(&self, py: Python<'_>) -> PyResult<&Arc<Executor<Pool>>> {
        match self.known() {
            Some(executor) if executor.is_own() => Ok(executor),
            Some(executor) => Ok(self.start_afresh(py, executor)),
            None => Err(PyRuntimeError::new_err(
                "this pool was not set up; a class derived from ThreadPool calls super().__init__()",
            )),
        }
    }

    #[cold]
    fn start_afresh(&self, py: Python<'_>, parents: &Arc<Executor<Pool>>) -> &Arc<Executor<Pool>> {
        let limits = self.limits.lock().unwrap_or(Limits {
            max_workers: 1,
            min_workers: 0,
            max_queue: None,
            idle_timeout: Duration::MAX,
        });
        let fresh = Executor::new(parents.host.again(py), limits);
        if self.is_shut_down.load(Ordering::Relaxed) {
            fresh.end(Ending::Shutdown);
        }
        self.install(std::ptr::from_ref(parents).cast_mut(), fresh)
    }

    /// Puts an executor in the place of `before`, unless another thread has done so.
    fn install(
        &self,
        before: *mut Arc<Executor<Pool>>,
        fresh: Arc<Executor<Pool>>,
    ) -> &Arc<Executor<Pool>> {
        let fresh = Box::into_raw(Box::new(fresh));
        let (order, otherwise) = (Ordering::AcqRel, Ordering::Acquire);
        let installed = self
            .executor
            .compare_exchange(before, fresh, order, otherwise);
        match installed {
            Ok(_) => {
                // SAFETY: just leaked. What was there before stays: in a child, the
                // parent's.
                let fresh = unsafe { &*fresh };
                remember(fresh);
                fresh.fill();
                fresh
            }
            // SAFETY: the first was never published; the second was leaked by the
            // thread that published it.
            Err(winner) => unsafe {
                drop(Box::from_raw(fresh));
                &*winner
            },
        }
    }

    fn settings(&self) -> PyResult<&Settings> {
        self.settings
            .get()
            .ok_or_else(|| PyRuntimeError::new_err("this pool was not set up"))
    }
}

impl Drop for ThreadPoolBase {
    fn drop(&mut self) {
        let executor = self.executor.swap(std::ptr::null_mut(), Ordering::AcqRel);
        if executor.is_null() {
            return;
        }
        // SAFETY: leaked from a box by `install`, and nobody else has the pool.
        let executor = unsafe { Box::from_raw(executor) };
        if executor.is_own() {
            // Nobody can submit any more. What is queued is still run.
            executor.end(Ending::Shutdown);
        } else {
            // The parent's, of which this process has no use.
            std::mem::forget(executor);
        }
    }
}

fn duration(seconds: Option<f64>) -> Duration {
    seconds.map_or(Duration::MAX, |seconds| {
        Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
    })
}

#[pymethods]
impl ThreadPoolBase {
    /// Whatever a derived class is given, `_open` is given what the pool needs.
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self {
            settings: OnceLock::new(),
            executor: AtomicPtr::new(std::ptr::null_mut()),
            limits: Mutex::new(None),
            is_shut_down: AtomicBool::new(false),
        }
    }

    /// Sets the pool up. The arguments have been checked.
    #[allow(clippy::too_many_arguments)]
    #[pyo3(signature = (
        *, name, max_workers, min_workers, max_queue_size, when_full, submit_timeout, idle_timeout,
        thread_name_prefix, initializer, initargs, carry_context,
    ))]
    fn _open(
        &self,
        name: String,
        max_workers: usize,
        min_workers: usize,
        max_queue_size: Option<usize>,
        when_full: &str,
        submit_timeout: Option<f64>,
        idle_timeout: Option<f64>,
        thread_name_prefix: String,
        initializer: Option<Py<PyAny>>,
        initargs: Py<PyTuple>,
        carry_context: bool,
    ) -> PyResult<()> {
        let settings = Settings {
            when_full: WhenFull::named(when_full)?,
            submit_timeout,
            carries_context: carry_context,
        };
        if self.settings.set(settings).is_err() {
            return Err(PyRuntimeError::new_err("this pool was set up before"));
        }
        let limits = Limits {
            max_workers,
            min_workers,
            max_queue: max_queue_size,
            idle_timeout: duration(idle_timeout),
        };
        *self.limits.lock() = Some(limits);
        let pool = Pool {
            name,
            thread_name_prefix,
            initializer: initializer.map(|initializer| (initializer, initargs)),
        };
        self.install(std::ptr::null_mut(), Executor::new(pool, limits));
        Ok(())
    }

    /// Has a worker call a function.
    ///
    /// Args:
    ///     fn: The function.
    ///     args: Its positional arguments.
    ///     kwargs: Its keyword arguments.
    ///
    /// Returns:
    ///     The future of what it returns or raises; a `concurrent.futures.Future`.
    ///
    /// Raises:
    ///     nexus_core.errors.QueueFull: If the queue has no room, and `when_full` is
    ///         `"reject"`, or there was none within `submit_timeout`.
    ///     nexus_core.errors.PoolShutdown: If the pool was shut down, or the interpreter
    ///         goes down.
    ///     nexus_core.errors.PoolBroken: If the pool's initializer raised.
    ///     RuntimeError: If there is no thread and the system starts none.
    ///
    /// Example:
    ///     >>> from nexus_core import ThreadPool
    ///     >>> with ThreadPool(2) as pool:
    ///     ...     pool.submit(int, "ff", base=16).result()
    ///     255
    #[pyo3(signature = (r#fn, /, *args, **kwargs))]
    fn submit(
        &self,
        py: Python<'_>,
        r#fn: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<FutureBase>> {
        let executor = self.executor(py)?;
        let settings = self.settings()?;
        let call = Call::new(r#fn, args, kwargs, settings.carries_context)?;
        let terms = Terms {
            priority: 0,
            when_full: settings.when_full,
            timeout: settings.submit_timeout,
        };
        submit(py, executor, call, terms)
    }

    /// Has a worker call a function, on terms of its own.
    ///
    /// A function that takes arguments of these names itself needs `functools.partial`.
    ///
    /// Args:
    ///     fn: The function.
    ///     args: Its positional arguments.
    ///     priority: Tasks of a higher one are begun first; of equal ones, the one that
    ///         was submitted first. `submit` and `map` give 0.
    ///     timeout: Seconds to wait for room in the queue; by default the pool's
    ///         `submit_timeout`.
    ///     when_full: What happens where the queue has no room; by default as the pool
    ///         was told.
    ///     kwargs: Its other keyword arguments.
    ///
    /// Returns:
    ///     The future of what it returns or raises, as `submit` does.
    ///
    /// Raises:
    ///     ValueError: If `when_full` is none of the three.
    ///     nexus_core.errors.PoolError: As `submit` does.
    ///
    /// Example:
    ///     >>> from nexus_core import ThreadPool
    ///     >>> with ThreadPool(1) as pool:
    ///     ...     pool.submit_with(pow, 2, 5, priority=10).result()
    ///     32
    #[pyo3(signature = (r#fn, /, *args, priority=0, timeout=None, when_full=None, **kwargs))]
    #[allow(clippy::too_many_arguments)]
    fn submit_with(
        &self,
        py: Python<'_>,
        r#fn: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        priority: i64,
        timeout: Option<f64>,
        when_full: Option<&str>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<FutureBase>> {
        let settings = self.settings()?;
        let terms = Terms {
            priority,
            when_full: match when_full {
                Some(name) => WhenFull::named(name)?,
                None => settings.when_full,
            },
            timeout: timeout.or(settings.submit_timeout),
        };
        let executor = self.executor(py)?;
        let call = Call::new(r#fn, args, kwargs, settings.carries_context)?;
        submit(py, executor, call, terms)
    }

    /// Sets new limits. The arguments have been checked.
    #[pyo3(signature = (max_workers, min_workers, max_queue_size))]
    fn _resize(
        &self,
        py: Python<'_>,
        max_workers: usize,
        min_workers: usize,
        max_queue_size: Option<usize>,
    ) -> PyResult<()> {
        let executor = self.executor(py)?;
        let mut known = self.limits.lock();
        let limits = Limits {
            max_workers,
            min_workers,
            max_queue: max_queue_size,
            idle_timeout: known.map_or(Duration::MAX, |limits| limits.idle_timeout),
        };
        *known = Some(limits);
        drop(known);
        executor.resize(limits);
        Ok(())
    }

    /// Ends the pool, and waits until no thread is left if asked to.
    #[pyo3(signature = (wait, cancel_futures, timeout))]
    fn _end(
        &self,
        py: Python<'_>,
        wait: bool,
        cancel_futures: bool,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        self.is_shut_down.store(true, Ordering::Relaxed);
        let Some(executor) = self.known().filter(|executor| executor.is_own()) else {
            return Ok(());
        };
        executor.end(Ending::Shutdown);
        if cancel_futures {
            cancel_all(py, executor, executor.take_all())?;
        }
        if !wait {
            return Ok(());
        }
        if seen::is_worker_of(executor) {
            return Err(PyRuntimeError::new_err(format!(
                "a task of pool {:?} cannot wait for the pool to shut down, which waits for the task; \
                 pass wait=False",
                executor.host.name
            )));
        }
        let deadline = deadline(timeout);
        // A worker of another pool, whose queue this one's tasks may wait for.
        let _interest = seen::interest();
        loop {
            let mut slice = SIGNAL_INTERVAL;
            if let Some(deadline) = deadline {
                slice = slice.min(deadline.saturating_duration_since(Instant::now()));
            }
            let left = py.detach(|| executor.join(slice));
            if left.threads == 0 {
                return Ok(());
            }
            py.check_signals()?;
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                let running = executor.statistics().running;
                let name = executor.host.name.as_str();
                return Err(raise(
                    py,
                    "ShutdownTimeout",
                    (name, timeout, running, left.queued),
                ));
            }
        }
    }

    /// Every count and duration, by its name; of a histogram its own.
    fn _statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let executor = self.executor(py)?;
        let seen = executor.statistics();
        let found = PyDict::new(py);
        let limits = executor.limits();
        found.set_item("name", executor.host.name.as_str())?;
        found.set_item("max_workers", limits.max_workers)?;
        found.set_item("min_workers", limits.min_workers)?;
        found.set_item("max_queue_size", limits.max_queue)?;
        counts(&found, &seen)?;
        found.set_item("queue_wait", durations(py, &seen.queue_wait)?)?;
        found.set_item("run_time", durations(py, &seen.run_time)?)?;
        found.set_item("idle_seconds", seen.idle.as_secs_f64())?;
        found.set_item("interpreter_wait_seconds", seen.attaching.as_secs_f64())?;
        found.set_item("busy_seconds", seen.busy.as_secs_f64())?;
        Ok(found)
    }

    /// The pool's name, in errors and statistics.
    #[getter]
    fn name(&self, py: Python<'_>) -> PyResult<&str> {
        Ok(&self.executor(py)?.host.name)
    }

    /// How many threads there may be.
    #[getter]
    fn max_workers(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.executor(py)?.limits().max_workers)
    }

    /// How many threads stay when there is nothing to do.
    #[getter]
    fn min_workers(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.executor(py)?.limits().min_workers)
    }

    /// How many tasks may be queued; `None` for any number.
    #[getter]
    fn max_queue_size(&self, py: Python<'_>) -> PyResult<Option<usize>> {
        Ok(self.executor(py)?.limits().max_queue)
    }

    /// How many tasks wait for a worker now.
    #[getter]
    fn queue_size(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.executor(py)?.queued())
    }

    /// How many threads there are now.
    #[getter]
    fn threads(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.executor(py)?.threads())
    }

    /// What happens to a task for which the queue has no room.
    #[getter]
    fn when_full(&self) -> PyResult<&'static str> {
        Ok(self.settings()?.when_full.name())
    }

    /// Whether the pool takes no more tasks.
    #[getter]
    fn is_shut_down(&self) -> bool {
        self.is_shut_down.load(Ordering::Relaxed)
            || self
                .known()
                .is_some_and(|executor| executor.is_own() && executor.ending().is_some())
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        // Threads hold the initializer as well; alone, the pool may be garbage.
        if let Some(executor) = self.known()
            && Arc::strong_count(executor) == 1
            && let Some((initializer, args)) = &executor.host.initializer
        {
            visit.call(initializer)?;
            visit.call(args)?;
        }
        Ok(())
    }
}

fn counts(found: &Bound<'_, PyDict>, seen: &Statistics) -> PyResult<()> {
    for (name, count) in [
        ("submitted", seen.submitted),
        ("queued", seen.queued),
        ("running", seen.running),
        ("done", seen.done),
        ("failed", seen.failed),
        ("cancelled", seen.cancelled),
        ("rejected", seen.rejected),
        ("ran_on_caller", seen.ran_on_caller),
        ("waiting_for_room", seen.waiting_for_room),
        ("threads", seen.threads),
        ("idle_threads", seen.idle_threads),
        ("most_threads", seen.most_threads),
    ] {
        found.set_item(name, count)?;
    }
    Ok(())
}
