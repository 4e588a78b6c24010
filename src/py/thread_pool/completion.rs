//! How a future ends: by its call, by hand, or by being cancelled.

use std::sync::Arc;
use std::thread::Thread;

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyList;

use crate::core::executor::{Executor, Interest};
use crate::core::locks::MutexGuard;
use crate::py::engine::Ask;

use super::call::Outcome;
use super::future::{FutureBase, Inner, State, track};
use super::host::Pool;

/// What happens to a future.
pub(super) enum Change {
    /// Only from `Pending`, to `CancelledAndNotified` for a future of a pool: the
    /// pool knows at once, without a worker that comes across it.
    Cancel,
    /// From `Pending` or `Running`.
    End(Outcome),
    /// Only from `Pending`: nobody will make the call.
    Forsake(Outcome),
    /// From `Pending` or `Cancelled`, when the call is about to be made.
    Start,
}

/// How a change went.
pub(super) enum Changed {
    /// Nothing changed: it does not go from this state.
    No(State),
    Yes {
        state: State,
        /// Somebody was told of it, which may have taken a while.
        told: bool,
    },
}

/// Whom to tell, once nothing is locked.
#[derive(Default)]
struct Audience {
    parked: Vec<Thread>,
    interests: Vec<Interest>,
    callbacks: Vec<Py<PyAny>>,
    waiters: Option<Py<PyList>>,
    pool: Option<Arc<Executor<Pool>>>,
    was_pending: bool,
}

impl Audience {
    /// Those who wait without the condition, and what the future held on to.
    fn of(py: Python<'_>, inner: &mut Inner, before: State) -> Self {
        let mut audience = Self {
            pool: inner.pool.take(),
            was_pending: before == State::Pending,
            ..Self::default()
        };
        if let Some(extra) = &mut inner.extra {
            audience.parked = std::mem::take(&mut extra.parked);
            audience.interests = std::mem::take(&mut extra.interests);
            audience.callbacks = std::mem::take(&mut extra.callbacks);
            audience.waiters = extra.waiters.as_ref().map(|list| list.clone_ref(py));
        }
        audience
    }

    fn is_any(&self) -> bool {
        !(self.parked.is_empty() && self.callbacks.is_empty() && self.waiters.is_none())
    }

    fn wake(&mut self) {
        self.interests.clear();
        for thread in self.parked.drain(..) {
            thread.unpark();
        }
    }
}

/// Holds a `threading.Condition` until dropped.
struct Held<'py>(Bound<'py, PyAny>);

impl<'py> Held<'py> {
    fn hold(condition: Bound<'py, PyAny>) -> PyResult<Self> {
        condition.ask(intern!(condition.py(), "acquire"), ())?;
        Ok(Self(condition))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let py = self.0.py();
        if let Err(error) = self.0.ask(intern!(py, "release"), ()) {
            error.write_unraisable(py, Some(&self.0));
        }
    }
}

fn next_state(change: &Change, before: State, of_pool: bool) -> Option<State> {
    match (change, before) {
        (Change::Cancel, State::Pending) if of_pool => Some(State::CancelledAndNotified),
        (Change::Cancel, State::Pending) => Some(State::Cancelled),
        (Change::End(_), State::Pending | State::Running)
        | (Change::Forsake(_), State::Pending) => Some(State::Finished),
        (Change::Start, State::Pending) => Some(State::Running),
        (Change::Start, State::Cancelled) => Some(State::CancelledAndNotified),
        _ => None,
    }
}

/// Changes a future's state and tells everybody who waits for that. An error is a
/// signal's, before anything changed, or an interruption by a callback, after.
pub(super) fn change(slf: &Bound<'_, FutureBase>, change: Change) -> PyResult<Changed> {
    let (py, this) = (slf.py(), slf.get());
    let mut inner = this.inner.lock();
    let condition = inner
        .extra
        .as_ref()
        .and_then(|extra| extra.condition.as_ref())
        .map(|condition| condition.clone_ref(py));
    let Some(condition) = condition else {
        return match write(this, inner, py, change) {
            Ok((state, audience)) => tell(slf, state, audience),
            Err(state) => Ok(Changed::No(state)),
        };
    };
    drop(inner);
    let held = match Held::hold(condition.into_bound(py)) {
        Ok(held) => Some(held),
        // The call is over: whoever waits must hear of it all the same.
        Err(error) if matches!(change, Change::End(_) | Change::Forsake(_)) => {
            error.write_unraisable(py, Some(slf));
            None
        }
        Err(error) => return Err(error),
    };
    inner = this.inner.lock();
    match write(this, inner, py, change) {
        Ok((state, audience)) => {
            let notified = notify_waiters(slf, state, &audience, held.as_ref());
            drop(held);
            let told = tell(slf, state, audience)?;
            notified.map(|()| told)
        }
        Err(state) => Ok(Changed::No(state)),
    }
}

/// Writes the change down; the state as it is if it does not go from there.
fn write(
    this: &FutureBase,
    mut inner: MutexGuard<'_, Inner>,
    py: Python<'_>,
    change: Change,
) -> Result<(State, Audience), State> {
    let before = this.state();
    let Some(state) = next_state(&change, before, inner.pool.is_some()) else {
        drop(inner);
        return Err(before);
    };
    let call = inner.call.take();
    if let Change::End(outcome) | Change::Forsake(outcome) = change {
        inner.outcome = Some(outcome);
    }
    let audience = if state.is_done() {
        Audience::of(py, &mut inner, before)
    } else {
        // Started by hand: the pool must not count on it any more.
        Audience {
            pool: inner.pool.take(),
            was_pending: true,
            ..Audience::default()
        }
    };
    this.set_state(state);
    drop(inner);
    drop(call);
    Ok((state, audience))
}

/// Those who wait by means of the standard library, while the condition is held.
/// An error is an interruption's.
fn notify_waiters(
    slf: &Bound<'_, FutureBase>,
    state: State,
    audience: &Audience,
    held: Option<&Held<'_>>,
) -> PyResult<()> {
    let py = slf.py();
    let method = match state {
        State::Finished if slf.get().has_failed() => Some(intern!(py, "add_exception")),
        State::Finished => Some(intern!(py, "add_result")),
        State::CancelledAndNotified => Some(intern!(py, "add_cancelled")),
        _ => None,
    };
    let mut interruption = Ok(());
    let mut note = |outcome: PyResult<Bound<'_, PyAny>>| match outcome {
        Ok(_) => {}
        Err(error) if error.is_instance_of::<PyException>(py) => {
            error.write_unraisable(py, Some(slf));
        }
        Err(error) => interruption = Err(error),
    };
    if let Some(method) = method
        && let Some(waiters) = &audience.waiters
    {
        for waiter in waiters.bind(py).iter() {
            note(waiter.ask(method, (slf,)));
        }
    }
    if let Some(held) = held {
        note(held.0.ask(intern!(py, "notify_all"), ()));
    }
    interruption
}

/// Tells those who wait natively, the pool, and the callbacks.
fn tell(slf: &Bound<'_, FutureBase>, state: State, mut audience: Audience) -> PyResult<Changed> {
    track(slf);
    let told = audience.is_any();
    audience.wake();
    if let Some(pool) = audience.pool.take()
        && audience.was_pending
        && pool.is_own()
    {
        drop(pool.became_stale(true));
    }
    let mut interruption = Ok(());
    for callback in audience.callbacks {
        if let Err(error) = call_one_back(slf, callback.bind(slf.py())) {
            interruption = Err(error);
        }
    }
    interruption.map(|()| Changed::Yes { state, told })
}

/// Calls a callback. An `Exception` is logged, as the standard library does.
pub(super) fn call_one_back(
    slf: &Bound<'_, FutureBase>,
    callback: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = slf.py();
    match callback.invoke((slf,)) {
        Ok(_) => Ok(()),
        Err(error) if error.is_instance_of::<PyException>(py) => {
            let text = "exception calling callback for %r";
            log(py, "error", text, Some(slf.as_any()), Some(&error))
        }
        Err(error) => Err(error),
    }
}

/// Logs where the standard library's executors do.
pub(super) fn log(
    py: Python<'_>,
    level: &str,
    text: &str,
    about: Option<&Bound<'_, PyAny>>,
    error: Option<&PyErr>,
) -> PyResult<()> {
    static LOGGER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let logger = LOGGER.import(py, "concurrent.futures._base", "LOGGER")?;
    let keywords = pyo3::types::PyDict::new(py);
    if let Some(error) = error {
        keywords.set_item("exc_info", crate::py::errors::exception(py, error))?;
    }
    let method = logger.getattr(level)?;
    match about {
        Some(about) => method.call((text, about), Some(&keywords))?,
        None => method.call((text,), Some(&keywords))?,
    };
    Ok(())
}

/// A worker's call has ended; whether somebody was told. What a callback raises
/// beyond an `Exception` has nobody to go to.
pub(super) fn end(slf: &Bound<'_, FutureBase>, outcome: Outcome) -> bool {
    settle(slf, Change::End(outcome))
}

/// A call will never be made, unless somebody makes it already.
pub(super) fn forsake(slf: &Bound<'_, FutureBase>, error: Py<PyAny>) {
    settle(slf, Change::Forsake(Outcome::Raised(error)));
}

fn settle(slf: &Bound<'_, FutureBase>, ending: Change) -> bool {
    match change(slf, ending) {
        Ok(Changed::Yes { told, .. }) => told,
        Ok(Changed::No(_)) => false,
        Err(error) => {
            error.write_unraisable(slf.py(), Some(slf));
            true
        }
    }
}
