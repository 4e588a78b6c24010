//! What the user gave a pool to call.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::core::locks::Mutex;
use crate::core::threads::fork_generation;
use crate::py::engine::LoopMailbox;

/// The user's callables, and the package's own for what is said about them.
pub(super) struct HookSet {
    pub(super) factory: Py<PyAny>,
    pub(super) check: Option<Py<PyAny>>,
    pub(super) reset: Option<Py<PyAny>>,
    pub(super) close: Py<PyAny>,
    pub(super) is_broken: Option<Py<PyAny>>,
    /// `report(kind, detail, error)`
    pub(super) report: Py<PyAny>,
    /// Returns what tells where a checkout is made.
    pub(super) stack: Py<PyAny>,
}

impl HookSet {
    pub(super) fn from_dict(hooks: &Bound<'_, PyDict>) -> PyResult<Self> {
        let required = |name: &str| -> PyResult<Py<PyAny>> {
            match hooks.get_item(name)? {
                Some(hook) => Ok(hook.unbind()),
                None => Err(pyo3::exceptions::PyKeyError::new_err(name.to_owned())),
            }
        };
        let optional = |name: &str| -> PyResult<Option<Py<PyAny>>> {
            let hook = hooks.get_item(name)?.filter(|hook| !hook.is_none());
            Ok(hook.map(Bound::unbind))
        };
        Ok(Self {
            factory: required("factory")?,
            check: optional("check")?,
            reset: optional("reset")?,
            close: required("close")?,
            is_broken: optional("is_broken")?,
            report: required("report")?,
            stack: required("stack")?,
        })
    }

    fn share(&self, py: Python<'_>) -> Self {
        let share = |hook: &Option<Py<PyAny>>| hook.as_ref().map(|hook| hook.clone_ref(py));
        Self {
            factory: self.factory.clone_ref(py),
            check: share(&self.check),
            reset: share(&self.reset),
            close: self.close.clone_ref(py),
            is_broken: share(&self.is_broken),
            report: self.report.clone_ref(py),
            stack: self.stack.clone_ref(py),
        }
    }

    fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.factory)?;
        visit.call(&self.check)?;
        visit.call(&self.reset)?;
        visit.call(&self.close)?;
        visit.call(&self.is_broken)?;
        visit.call(&self.report)?;
        visit.call(&self.stack)
    }
}

/// The callables of one pool, until it is garbage.
pub(super) struct Hooks {
    /// Seen by the garbage collector.
    set: Mutex<Option<HookSet>>,
    /// Not seen by it: what the threads of a pool need that nobody has any more. It
    /// lives until they are done.
    kept: Mutex<Option<HookSet>>,
    /// Where tasks of coroutine functions run, once that is known.
    home: Mutex<Option<Home>>,
    pub(super) on_return: bool,
    pub(super) has_reset: bool,
}

/// The event loop that a pool of coroutine functions belongs to, in one process.
pub(super) struct Home {
    pub(super) era: u64,
    pub(super) mailbox: Py<LoopMailbox>,
    /// Has the pool's tasks begun.
    pub(super) pump: Py<PyAny>,
}

impl Hooks {
    pub(super) fn new(set: HookSet) -> Arc<Self> {
        Arc::new(Self {
            on_return: set.reset.is_some() || set.is_broken.is_some(),
            has_reset: set.reset.is_some(),
            set: Mutex::new(Some(set)),
            kept: Mutex::new(None),
            home: Mutex::new(None),
        })
    }

    /// One of the callables; none when the pool is garbage, or has none.
    pub(super) fn get<'py>(
        &self,
        py: Python<'py>,
        which: impl Fn(&HookSet) -> Option<&Py<PyAny>>,
    ) -> Option<Bound<'py, PyAny>> {
        let find = |place: &Mutex<Option<HookSet>>| {
            let set = place.lock();
            set.as_ref()
                .map(|set| which(set).map(|hook| hook.clone_ref(py).into_bound(py)))
        };
        find(&self.set).or_else(|| find(&self.kept)).flatten()
    }

    /// Where tasks run in this process; a forked child does not wake its parent's loop.
    pub(super) fn home(&self, py: Python<'_>) -> Option<(Py<LoopMailbox>, Py<PyAny>)> {
        let home = self.home.lock();
        let home = home.as_ref().filter(|home| home.era == fork_generation())?;
        Some((home.mailbox.clone_ref(py), home.pump.clone_ref(py)))
    }

    /// Keeps the callables for threads that still have something to do.
    pub(super) fn keep(&self, py: Python<'_>) {
        let copy = self.set.lock().as_ref().map(|set| set.share(py));
        let earlier = std::mem::replace(&mut *self.kept.lock(), copy);
        drop(earlier);
    }

    /// They are done. While attached.
    pub(super) fn let_go(&self) {
        let kept = self.kept.lock().take();
        drop(kept);
    }

    pub(super) fn settle(&self, home: Home) {
        let earlier = self.home.lock().replace(home);
        drop(earlier);
    }

    pub(super) fn clear(&self) {
        let set = self.set.lock().take();
        let home = self.home.lock().take();
        drop((set, home));
    }

    pub(super) fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        if let Some(set) = self.set.try_lock()
            && let Some(set) = &*set
        {
            set.traverse(visit)?;
        }
        if let Some(home) = self.home.try_lock()
            && let Some(home) = &*home
        {
            visit.call(&home.mailbox)?;
            visit.call(&home.pump)?;
        }
        Ok(())
    }
}
