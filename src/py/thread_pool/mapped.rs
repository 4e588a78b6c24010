//! The results of `map`, as they are asked for.

use std::collections::VecDeque;
use std::time::Instant;

use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::core::locks::Mutex;

use super::call::raised;
use super::completion::{Change, change};
use super::future::FutureBase;
use super::waiting::deadline;

/// An iterator over the results of calls that were submitted together. What has not
/// begun is cancelled when one raises, or nobody wants them any more.
#[pyclass(frozen, module = "nexus_core._core")]
pub(crate) struct MapResults {
    rest: Mutex<Rest>,
    deadline: Option<Instant>,
    chunked: bool,
}

#[derive(Default)]
struct Rest {
    futures: VecDeque<Py<PyAny>>,
    /// Of the chunk that was looked at last.
    results: VecDeque<Py<PyAny>>,
    error: Option<Py<PyAny>>,
}

impl Rest {
    fn cancel(self, py: Python<'_>) -> PyResult<()> {
        let mut interruption = Ok(());
        for future in self.futures {
            if let Err(error) = cancel(future.bind(py)) {
                interruption = Err(error);
            }
        }
        interruption
    }
}

/// A pool's own future, or that of a derived class which submits in its own way.
fn cancel(future: &Bound<'_, PyAny>) -> PyResult<()> {
    match future.cast::<FutureBase>() {
        Ok(own) => change(own, Change::Cancel).map(drop),
        Err(_) => future
            .call_method0(intern!(future.py(), "cancel"))
            .map(drop),
    }
}

fn result<'py>(future: &Bound<'py, PyAny>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
    let py = future.py();
    match future.cast::<FutureBase>() {
        Ok(own) => Ok(FutureBase::result(own, timeout)?.into_bound(py)),
        Err(_) => future.call_method1(intern!(py, "result"), (timeout,)),
    }
}

/// A call's `StopIteration` would pass for the end of the results. The standard
/// library's iterator is a generator, of which the interpreter says this.
fn not_an_end(py: Python<'_>, error: PyErr) -> PyErr {
    if !error.is_instance_of::<PyStopIteration>(py) {
        return error;
    }
    let instead = PyRuntimeError::new_err("generator raised StopIteration");
    instead.set_cause(py, Some(error));
    instead
}

impl MapResults {
    fn take_rest(&self) -> Rest {
        std::mem::take(&mut *self.rest.lock())
    }

    fn next_of_chunk(&self, py: Python<'_>) -> Option<PyResult<Py<PyAny>>> {
        let mut rest = self.rest.lock();
        if let Some(result) = rest.results.pop_front() {
            return Some(Ok(result));
        }
        let error = rest.error.take()?;
        drop(rest);
        Some(Err(raised(py, &error)))
    }

    /// Behind what is there: another thread may have fetched a chunk meanwhile.
    fn add_chunk(&self, results: Vec<Py<PyAny>>, error: Option<Py<PyAny>>) {
        let mut rest = self.rest.lock();
        rest.results.extend(results);
        let later = if rest.error.is_none() {
            rest.error = error;
            None
        } else {
            error
        };
        drop(rest);
        drop(later);
    }

    fn next(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        loop {
            if self.chunked
                && let Some(next) = self.next_of_chunk(py)
            {
                return next.map(Some);
            }
            let Some(future) = self.rest.lock().futures.pop_front() else {
                return Ok(None);
            };
            let future = future.into_bound(py);
            let left = self.deadline.map(|deadline| {
                deadline
                    .saturating_duration_since(Instant::now())
                    .as_secs_f64()
            });
            let found = match result(&future, left) {
                Ok(found) => found,
                Err(error) => {
                    cancel(&future)?;
                    return Err(error);
                }
            };
            if !self.chunked {
                return Ok(Some(found.unbind()));
            }
            let (results, error): (Bound<'_, PyList>, Option<Py<PyAny>>) = found.extract()?;
            self.add_chunk(results.iter().map(Bound::unbind).collect(), error);
        }
    }
}

#[pymethods]
impl MapResults {
    /// `futures` in the order of the results.
    #[new]
    fn new(futures: Vec<Py<PyAny>>, timeout: Option<f64>, chunked: bool) -> Self {
        Self {
            rest: Mutex::new(Rest {
                futures: futures.into(),
                ..Rest::default()
            }),
            deadline: deadline(timeout),
            chunked,
        }
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let next = self.next(py);
        if next.is_err() {
            self.take_rest().cancel(py)?;
        }
        next.map_err(|error| not_an_end(py, error))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.take_rest().cancel(py)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        if let Some(rest) = self.rest.try_lock() {
            for object in rest.futures.iter().chain(&rest.results) {
                visit.call(object)?;
            }
            visit.call(&rest.error)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        // Garbage: nobody will ask for the rest.
        Python::attach(|py| {
            if let Err(error) = self.take_rest().cancel(py) {
                error.write_unraisable(py, None);
            }
        });
    }
}

impl Drop for MapResults {
    fn drop(&mut self) {
        let rest = self.take_rest();
        if !rest.futures.is_empty() {
            Python::try_attach(|py| {
                if let Err(error) = rest.cancel(py) {
                    error.write_unraisable(py, None);
                }
            });
        }
    }
}
