//! A trace while it is taken, as Python holds it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::core::tracing::{NodeEvent, Recorder, RunId, Shape, Status, Thread};
use crate::py::failures::type_name;
use crate::py::workflow::{Recording, WorkflowPlan, WorkflowRun};

/// Keeps what happens to nodes, in bounded memory.
#[pyclass(frozen, name = "_TraceRecorder", module = "nexus_core")]
pub(crate) struct TraceRecorder(Arc<Recorder>);

/// One run that a recorder keeps.
#[pyclass(frozen, name = "_RecordedRun", module = "nexus_core")]
pub(crate) struct RecordedRun {
    recorder: Arc<Recorder>,
    run: u32,
}

/// When a trace began, in seconds since 1970.
fn began(recorder: &Recorder) -> f64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |now| now.as_secs_f64());
    now - recorder.began().elapsed().as_secs_f64()
}

/// One execution of a node: see `RecordedRun::ended_elsewhere`.
type EndedElsewhere = (u32, f64, f64, f64, f64, u8, Option<String>);

/// What is negative or no number counts as nothing, what is too long as the longest.
#[allow(clippy::cast_sign_loss)] // a cast makes zero of it
pub(crate) fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

/// How a node ended, by its number.
pub(crate) fn end_of(status: u8) -> PyResult<Status> {
    Status::of_end(status).ok_or_else(|| {
        PyValueError::new_err(format!("{status} is no status of a node that has ended"))
    })
}

fn run_id(text: Option<&str>) -> Option<RunId> {
    text.map(RunId::new)
}

/// The calling thread, as Python knows it.
pub(crate) fn this_thread(py: Python<'_>) -> Thread {
    let threading = py.import(intern!(py, "threading"));
    let name = threading.as_ref().ok().and_then(|threading| {
        let thread = threading.call_method0(intern!(py, "current_thread")).ok()?;
        thread.getattr(intern!(py, "name")).ok()?.extract().ok()
    });
    let os_id = threading.as_ref().ok().and_then(|threading| {
        let id = threading.call_method0(intern!(py, "get_native_id")).ok()?;
        id.extract().ok()
    });
    Thread {
        name: name.unwrap_or_else(|| "?".into()),
        os_id: os_id.unwrap_or(0),
    }
}

fn status_name(status: Status) -> &'static str {
    match status {
        Status::Completed => "completed",
        Status::Failed => "failed",
        Status::Skipped => "skipped",
        Status::Cached => "cached",
        Status::Cancelled => "cancelled",
        Status::Running => "running",
    }
}

/// How something ended that left `error`.
pub(crate) fn ending(py: Python<'_>, recorder: &Recorder, error: &PyErr) -> (Status, u32) {
    let name = type_name(py, error);
    let status = match name.as_str() {
        "CancelledError" | "WorkflowCancelledError" => Status::Cancelled,
        _ => Status::Failed,
    };
    (status, recorder.error(&name))
}

#[pymethods]
impl TraceRecorder {
    #[new]
    fn new(max_events: i64) -> PyResult<Self> {
        match u64::try_from(max_events) {
            Ok(most) if most > 0 => Ok(Self(Arc::new(Recorder::new(most)))),
            _ => Err(PyValueError::new_err(format!(
                "max_events is {max_events}, and must be at least 1: no event could be kept"
            ))),
        }
    }

    /// A run begins. `plan`: what it runs, or `None` for one of whose nodes nothing is
    /// known; `note`: what is to be said of that.
    #[pyo3(signature = (name, plan=None, note=None))]
    fn begin_run(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyString>,
        plan: Option<&Bound<'_, WorkflowPlan>>,
        note: Option<&Bound<'_, PyString>>,
    ) -> RecordedRun {
        // A name need not be valid Unicode.
        let (name, note) = (
            name.to_string_lossy(),
            note.map(|note| note.to_string_lossy()),
        );
        let shape = plan.map_or_else(
            || {
                Arc::new(Shape {
                    nodes: Vec::new(),
                    edges: Vec::new(),
                })
            },
            |plan| plan.get().shape(py),
        );
        RecordedRun {
            recorder: Arc::clone(&self.0),
            run: self.0.begin_run(&name, &shape, note.as_deref(), None),
        }
    }

    /// A run was not needed: kept results were handed out, which took so many seconds.
    fn answered(
        &self,
        name: &Bound<'_, PyString>,
        note: &Bound<'_, PyString>,
        seconds: f64,
        run_id: Option<&str>,
    ) {
        let (name, note) = (name.to_string_lossy(), note.to_string_lossy());
        let took = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        self.0.answered(&name, &note, took, self::run_id(run_id));
    }

    /// Takes nothing down any more.
    fn stop(&self) {
        self.0.stop();
    }

    #[getter]
    fn is_stopped(&self) -> bool {
        self.0.is_stopped()
    }

    /// Events of nodes that were not kept, because there was no room.
    #[getter]
    fn dropped(&self) -> u64 {
        self.0.dropped()
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn __sizeof__(&self) -> usize {
        size_of::<Self>() + self.0.bytes()
    }

    /// When the trace began, in seconds since 1970.
    #[getter]
    fn began(&self) -> f64 {
        began(&self.0)
    }

    /// Seconds since then.
    #[getter]
    fn elapsed(&self) -> f64 {
        self.0.began().elapsed().as_secs_f64()
    }

    /// Name and native id of each thread.
    fn threads(&self) -> Vec<(String, u64)> {
        let threads = self.0.threads();
        threads
            .into_iter()
            .map(|thread| (thread.name, thread.os_id))
            .collect()
    }

    /// Names of errors; the first is empty, for none.
    fn errors(&self) -> Vec<String> {
        let mut names = vec![String::new()];
        names.extend(self.0.errors());
        names
    }

    /// The events, by their start: bytes of each column by name. `run`, `node`, `thread`
    /// and `error` are unsigned 32-bit numbers, `status` 8-bit ones, the others doubles.
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let columns = py.detach(|| self.0.columns());
        let found = PyDict::new(py);
        let numbers = [
            ("run", &columns.run),
            ("node", &columns.node),
            ("thread", &columns.thread),
            ("error", &columns.error),
        ];
        for (name, column) in numbers {
            found.set_item(name, bytes(py, column, u32::to_ne_bytes)?)?;
        }
        let seconds = [
            ("ready", &columns.ready),
            ("start", &columns.start),
            ("end", &columns.end),
            ("waiting_for_gil", &columns.waited),
        ];
        for (name, column) in seconds {
            found.set_item(name, bytes(py, column, f64::to_ne_bytes)?)?;
        }
        found.set_item("status", PyBytes::new(py, &columns.status))?;
        Ok(found)
    }

    /// `(runs, workflows)`: of each run the number of its workflow, its id or `None`, when
    /// it began and ended in seconds since the trace began (`None` for one that has not),
    /// its status and the error's name or `None`; of each workflow its name, its nodes'
    /// ids and types, its edges, and a note or `None`.
    fn runs<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyList>)> {
        const NANO: f64 = 1e-9;
        let (records, workflows) = self
            .0
            .read_runs(|record, workflow, error| (record.clone(), workflow, error));
        let errors = self.errors();
        let runs = PyList::empty(py);
        for (record, workflow, error) in records {
            let error = errors.get(error as usize).filter(|name| !name.is_empty());
            runs.append((
                workflow,
                record.id.map(|id| id.to_string()),
                record.began as f64 * NANO,
                record.ended.map(|ended| ended as f64 * NANO),
                status_name(record.status),
                error,
            ))?;
        }
        let described = PyList::empty(py);
        for (name, shape, note) in workflows {
            let nodes = PyTuple::new(py, &shape.nodes)?;
            let edges = PyTuple::new(py, &shape.edges)?;
            described.append((name, nodes, edges, note))?;
        }
        Ok((runs, described))
    }
}

/// The bytes of a column, made in place.
fn bytes<'py, T: Copy, const N: usize>(
    py: Python<'py>,
    column: &[T],
    encode: impl Fn(T) -> [u8; N],
) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, column.len() * N, |place| {
        for (place, value) in place.chunks_exact_mut(N).zip(column) {
            place.copy_from_slice(&encode(*value));
        }
        Ok(())
    })
}

#[pymethods]
impl RecordedRun {
    /// When the trace began, in seconds since 1970.
    #[getter]
    fn began(&self) -> f64 {
        began(&self.recorder)
    }

    /// Keeps what happens to the nodes of `run`, which has not begun, as part of this one.
    fn follow(&self, run: &Bound<'_, WorkflowRun>) {
        let execution = run.get();
        execution.record(Recording::new(
            Arc::clone(&self.recorder),
            self.run,
            execution.node_count(),
        ));
    }

    /// These nodes will not run: branches that lead to them were not taken.
    fn skip(&self, py: Python<'_>, nodes: Vec<u32>) {
        let thread = self.recorder.thread(|| this_thread(py));
        let now = self.recorder.now();
        for node in nodes {
            let event = NodeEvent::new(self.run, node, now, now, now, 0);
            self.recorder.record(&event, thread, Status::Skipped, 0);
        }
    }

    /// Nodes have ended on a thread of another process: of each its number, when it was ready,
    /// began and ended, and how long it waited for the interpreter's lock, in seconds since
    /// the trace began; the number of its status and the error's name, if it has one.
    fn ended_elsewhere(
        &self,
        thread: String,
        os_id: u64,
        nodes: Vec<EndedElsewhere>,
    ) -> PyResult<()> {
        let thread = self.recorder.thread_of(Thread {
            name: thread,
            os_id,
        });
        for (node, ready, start, end, waited, status, error) in nodes {
            let [ready, start, end, waited] = [ready, start, end, waited].map(nanos);
            let event = NodeEvent::new(self.run, node, ready, start, end, waited);
            let error = error.map_or(0, |name| self.recorder.error(&name));
            self.recorder.record(&event, thread, end_of(status)?, error);
        }
        Ok(())
    }

    /// The run has ended, with what it raised, if anything.
    #[pyo3(signature = (error=None, run_id=None))]
    fn end(&self, py: Python<'_>, error: Option<Bound<'_, PyAny>>, run_id: Option<&str>) {
        let (status, number) = match error {
            None => (Status::Completed, 0),
            Some(error) => ending(py, &self.recorder, &PyErr::from_value(error)),
        };
        let id = self::run_id(run_id);
        self.recorder.end_run(self.run, status, number, id);
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<TraceRecorder>()?;
    module.add_class::<RecordedRun>()
}
