//! Kailash's memory ceiling for code nodes, put in force for more than one node
//! at a time.
//!
//! Stock bounds the address space that one code node may add: it reads `/proc`,
//! sets `RLIMIT_AS` and takes it back, around every node. Here the ceiling stays
//! in force from node to node and is set anew when a run has gone on for a
//! while, so that what earlier nodes keep is not held against later ones.
//! Stock's own book-keeping is used, under its own lock, because its guards may
//! be active at the same time on other threads; whatever is out of the ordinary
//! is left to its own functions.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::thread::ThreadId;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyList, PyString, PyTuple};

use crate::core::locks::Mutex;
use crate::core::threads::{ForkLocal, prepare_watcher};
use crate::py::engine::Ask;

/// Open `/proc/self/statm`: opening it costs more than reading it. In a forked
/// child the old one is its parent's.
static STATM: ForkLocal<Option<RawFd>> = ForkLocal::new(open_statm);

fn open_statm() -> Option<RawFd> {
    // SAFETY: a C string; the descriptor stays open for the process's life.
    let descriptor = unsafe {
        libc::open(
            c"/proc/self/statm".as_ptr(),
            libc::O_RDONLY | libc::O_CLOEXEC,
        )
    };
    (descriptor >= 0).then_some(descriptor)
}

/// The process's address space in bytes.
fn address_space() -> Option<u64> {
    let descriptor = (*STATM.get())?;
    let mut text = [0_u8; 32];
    // SAFETY: the buffer is as long as is said; an open descriptor, or an error.
    let read = unsafe { libc::pread(descriptor, text.as_mut_ptr().cast(), text.len(), 0) };
    let text = text.get(..usize::try_from(read).ok()?)?;
    let pages = text
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0_u64, |pages, digit| {
            pages.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))
        });
    // SAFETY: no preconditions.
    let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
    (pages > 0).then(|| pages.saturating_mul(page))
}

fn limits() -> Option<libc::rlimit> {
    let mut limits = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: a valid place for the result.
    (unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limits) } == 0).then_some(limits)
}

fn set_limits(limits: libc::rlimit) -> bool {
    // SAFETY: a valid limit.
    unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limits) == 0 }
}

const UNLIMITED: libc::rlimit = libc::rlimit {
    rlim_cur: libc::RLIM_INFINITY,
    rlim_max: libc::RLIM_INFINITY,
};

/// Limits the address space where nobody else does, neither softly nor hard; `false`
/// otherwise, with nothing done.
#[cfg(target_os = "linux")]
fn limit_unlimited(ceiling: u64) -> bool {
    let wanted = libc::rlimit {
        rlim_cur: ceiling,
        ..UNLIMITED
    };
    let mut before = UNLIMITED;
    // SAFETY: a valid limit and a valid place for the old one. With a hard limit in force
    // it fails, or raises that one until it is put back.
    let status = unsafe { libc::prlimit(0, libc::RLIMIT_AS, &raw const wanted, &raw mut before) };
    if status != 0 {
        return false;
    }
    if (before.rlim_cur, before.rlim_max) == (UNLIMITED.rlim_cur, UNLIMITED.rlim_max) {
        return true;
    }
    set_limits(before);
    false
}

#[cfg(not(target_os = "linux"))]
fn limit_unlimited(_ceiling: u64) -> bool {
    false
}

/// Where stock keeps book of the ceilings that are in force in the process.
pub(super) struct Book {
    /// `vars(kailash.security)`.
    variables: Py<PyDict>,
    /// Methods of the lock that stock holds while it reads and writes there.
    acquire: Py<PyAny>,
    release: Py<PyAny>,
}

/// Holds the book's lock until dropped.
struct Open<'py>(Bound<'py, PyAny>);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.call0() {
            error.write_unraisable(self.0.py(), None);
        }
    }
}

impl Book {
    pub(super) fn new(variables: Bound<'_, PyDict>) -> PyResult<Self> {
        let py = variables.py();
        let lock = variables
            .as_any()
            .get_item(intern!(py, "_ADDRESS_SPACE_LOCK"))?;
        Ok(Self {
            acquire: lock.getattr(intern!(py, "acquire"))?.unbind(),
            release: lock.getattr(intern!(py, "release"))?.unbind(),
            variables: variables.unbind(),
        })
    }

    fn open<'py>(&self, py: Python<'py>) -> PyResult<Open<'py>> {
        self.acquire.bind(py).call0()?;
        Ok(Open(self.release.bind(py).clone()))
    }

    fn get<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyString>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.variables.bind(py).as_any().get_item(name)
    }

    /// The ceilings that guards have asked for, if that is still a list.
    fn requests<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        let requests = self.get(py, intern!(py, "_address_space_requests"))?;
        Ok(requests.cast_into_exact().ok())
    }

    /// Notes what the limits were, and what they are now; `None` for nothing in
    /// force.
    fn note(
        &self,
        py: Python<'_>,
        saved: Option<Bound<'_, PyTuple>>,
        applied: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let variables = self.variables.bind(py);
        variables.set_item(intern!(py, "_address_space_saved"), saved)?;
        variables.set_item(intern!(py, "_address_space_applied"), applied)
    }

    pub(super) fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.variables)?;
        visit.call(&self.acquire)?;
        visit.call(&self.release)
    }
}

struct State {
    depth: usize,
    shares: usize,
    /// As stock's book has it.
    ceiling: Option<Py<PyAny>>,
    /// It was reached, and has been taken back to tell of that.
    is_lifted: bool,
}

/// The ceiling that a run's code nodes are under.
///
/// Stock's nodes run one after the other, and each may add the limit to what the
/// process uses then. Nodes that run together share one address space: they may
/// add it once for each of them, or ten that fit one by one would fail together.
#[pyclass(frozen, module = "nexus_core")]
pub(crate) struct MemoryLimit {
    book: Arc<Book>,
    #[pyo3(get)]
    limit: u64,
    together: usize,
    /// Every thread that runs nodes says so: nobody has to assume `together`.
    counted: bool,
    owner: ThreadId,
    /// Changes while the book is open only; held for a moment, never across a call.
    state: Mutex<State>,
}

impl MemoryLimit {
    /// `limit`: in bytes; `together`: how many nodes of the run can run at the
    /// same time.
    pub(super) fn new(book: Arc<Book>, limit: u64, together: usize, counted: bool) -> Self {
        Self {
            book,
            limit,
            together: together.max(1),
            counted,
            owner: std::thread::current().id(),
            state: Mutex::new(State {
                depth: 0,
                shares: 1,
                ceiling: None,
                is_lifted: false,
            }),
        }
    }
}

#[pymethods]
impl MemoryLimit {
    /// Whether a ceiling is set, so that `MemoryError` means it was reached.
    #[getter]
    fn in_force(&self) -> bool {
        let state = self.state.lock();
        state.ceiling.is_some() || state.is_lifted
    }

    /// Whether nodes ran on other threads than the caller's.
    #[getter]
    fn is_shared(&self) -> bool {
        self.state.lock().shares > 1
    }

    /// Puts the ceiling in force for a whole run; `shared` says that its nodes are
    /// known to run together.
    fn enter_run(&self, py: Python<'_>, shared: bool) -> PyResult<()> {
        if shared {
            self.state.lock().shares = self.together;
        }
        self.enter(py)
    }

    /// Puts the ceiling in force, counted.
    pub(super) fn enter(&self, py: Python<'_>) -> PyResult<()> {
        let _open = self.book.open(py)?;
        let depth = {
            let mut state = self.state.lock();
            state.depth += 1;
            if state.depth > 1 {
                state.shares = state.depth;
            }
            state.depth
        };
        let entered = if depth > 1 {
            self.unset(py).and_then(|()| self.set(py))
        } else {
            self.set(py)
        };
        if entered.is_err() {
            self.state.lock().depth -= 1;
        }
        entered
    }

    /// Takes it back when nobody needs it any more.
    pub(super) fn leave(&self, py: Python<'_>) -> PyResult<()> {
        let _open = self.book.open(py)?;
        let depth = {
            let mut state = self.state.lock();
            state.depth -= 1;
            state.depth
        };
        if depth == 0 {
            self.unset(py)?;
            self.state.lock().shares = 1;
        } else if self.counted {
            self.state.lock().shares = depth;
            self.unset(py)?;
            self.set(py)?;
        }
        Ok(())
    }

    /// Measures the ceiling of a run from what the process uses now, before a node.
    pub(super) fn rebase(&self, py: Python<'_>) -> PyResult<()> {
        let _open = self.book.open(py)?;
        {
            let mut state = self.state.lock();
            if state.ceiling.is_none() {
                return Ok(());
            }
            if !self.counted && std::thread::current().id() != self.owner {
                state.shares = self.together;
            }
        }
        self.unset(py)?;
        self.set(py)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        // A plan that shares the book is not visible to the collector.
        if Arc::strong_count(&self.book) > 1 {
            return Ok(());
        }
        self.book.traverse(&visit)
    }
}

impl MemoryLimit {
    /// Takes the ceiling back for as long as it takes to tell that it was reached.
    pub(super) fn lift(&self, py: Python<'_>) -> PyResult<()> {
        if self.state.lock().ceiling.is_none() {
            return Ok(());
        }
        let _open = self.book.open(py)?;
        self.unset(py)?;
        self.state.lock().is_lifted = true;
        Ok(())
    }

    /// Puts it in force again.
    pub(super) fn restore(&self, py: Python<'_>) -> PyResult<()> {
        if !std::mem::take(&mut self.state.lock().is_lifted) {
            return Ok(());
        }
        let _open = self.book.open(py)?;
        if self.state.lock().depth > 0 {
            self.set(py)?;
        }
        Ok(())
    }

    /// With the book open.
    fn set(&self, py: Python<'_>) -> PyResult<()> {
        if self.limit == 0 {
            return Ok(());
        }
        let limit = self.limit.saturating_mul(self.state.lock().shares as u64);
        let ceiling = match self.register(py, limit)? {
            Some(ceiling) => ceiling,
            None => self.ask_stock(py, limit)?,
        };
        self.state.lock().ceiling = (!ceiling.is_none()).then(|| ceiling.unbind());
        Ok(())
    }

    #[cold]
    fn ask_stock<'py>(&self, py: Python<'py>, limit: u64) -> PyResult<Bound<'py, PyAny>> {
        let resource = self.book.get(py, intern!(py, "resource"))?;
        if !resource.is_none() && resource.hasattr(intern!(py, "RLIMIT_AS"))? {
            let enter = intern!(py, "_enter_address_space_guard");
            return self.book.get(py, enter)?.invoke((limit,));
        }
        // Stock says once that nothing is enforced here.
        let say = self
            .book
            .get(py, intern!(py, "_log_address_space_unsupported"))?;
        let reason = if resource.is_none() {
            "the `resource` module is unavailable"
        } else {
            "`resource.RLIMIT_AS` is not defined"
        };
        say.invoke((reason,))
    }

    /// `_enter_address_space_guard` where no other guard is active and nobody
    /// else limits the address space; `None` otherwise, with nothing done.
    fn register<'py>(&self, py: Python<'py>, limit: u64) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(requests) = self.book.requests(py)? else {
            return Ok(None);
        };
        let saved = self.book.get(py, intern!(py, "_address_space_saved"))?;
        if !requests.is_empty() || !saved.is_none() {
            return Ok(None);
        }
        // What its thread maps is no node's.
        prepare_watcher();
        let Some(used) = address_space() else {
            return Ok(None);
        };
        let mut hard = libc::RLIM_INFINITY;
        let mut ceiling = used.saturating_add(limit);
        if !limit_unlimited(ceiling) {
            let Some(known) = limits() else {
                return Ok(None);
            };
            if known.rlim_cur != libc::RLIM_INFINITY {
                return Ok(None);
            }
            hard = known.rlim_max;
            ceiling = ceiling.min(hard);
            let wanted = libc::rlimit {
                rlim_cur: ceiling,
                rlim_max: hard,
            };
            if !set_limits(wanted) {
                return Ok(None);
            }
        }
        let ceiling = PyInt::new(py, ceiling).into_any();
        requests.append(&ceiling)?;
        // Python has no unlimited number: its `resource` says -1.
        let hard: i128 = if hard == libc::RLIM_INFINITY {
            -1
        } else {
            i128::from(hard)
        };
        let saved = PyTuple::new(py, [-1, hard])?;
        self.book.note(py, Some(saved), Some(&ceiling))?;
        Ok(Some(ceiling))
    }

    /// With the book open.
    fn unset(&self, py: Python<'_>) -> PyResult<()> {
        let ceiling = self.state.lock().ceiling.take();
        let Some(ceiling) = ceiling else {
            return Ok(());
        };
        if !self.deregister(py, ceiling.bind(py))? {
            let exit = intern!(py, "_exit_address_space_guard");
            self.book.get(py, exit)?.invoke((ceiling,))?;
        }
        Ok(())
    }

    /// `_exit_address_space_guard` where no other guard is active; `false`
    /// otherwise, with nothing done.
    fn deregister(&self, py: Python<'_>, ceiling: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Some(requests) = self.book.requests(py)? else {
            return Ok(false);
        };
        if requests.len() != 1 || !requests.get_item(0)?.is(ceiling) {
            return Ok(false);
        }
        let saved = self.book.get(py, intern!(py, "_address_space_saved"))?;
        let Ok((soft, hard)) = saved.extract::<(i128, i128)>() else {
            return Ok(false);
        };
        let limit = |value: i128| -> Option<libc::rlim_t> {
            if value == -1 {
                Some(libc::RLIM_INFINITY)
            } else {
                libc::rlim_t::try_from(value).ok()
            }
        };
        let (Some(rlim_cur), Some(rlim_max)) = (limit(soft), limit(hard)) else {
            return Ok(false);
        };
        if !set_limits(libc::rlimit { rlim_cur, rlim_max }) {
            return Ok(false);
        }
        requests.del_item(0)?;
        self.book.note(py, None, None)?;
        Ok(true)
    }
}
