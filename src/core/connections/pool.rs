//! A pool of connections that others make, check and close for it.
//!
//! One short lock protects everything. Whoever changes something under it wakes those
//! concerned after it; nothing of the users' is called or dropped while it is held.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::core::metrics::Histogram;
use crate::core::sync::{Mutex, MutexGuard};

use super::line::{Identity, Waiter, Wake};
use super::rules::Rules;
use super::state::State;
use super::terms::{Condition, Counters, Gauges, Handed, Lease, Task, Ticket};

/// Does what a pool needs done, on whatever threads it has.
pub trait Driver<T, E>: Send + Sync {
    /// There is something to do, or to be done sooner than was said: ask `next()`.
    fn rouse(&self, pool: &Arc<Pool<T, E>>);
}

/// What a pool has to do.
pub enum Next<T> {
    /// This, and whether there is more beside it.
    Do(Task<T>, bool),
    /// Nothing before then.
    Sleep(Option<Instant>),
    /// Nothing any more.
    End,
}

/// What one gets who asks for a connection.
pub enum Asked<R> {
    Lent(Lease, R),
    Queued(Arc<Waiter<Handed>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Closed,
    /// So many wait already.
    TooMany(usize),
}

/// Why one who waited got nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quit {
    TimedOut,
    Cancelled,
}

/// Why a connection cannot be returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotOut {
    Foreign,
    AlreadyReturned,
}

pub struct Pool<T, E> {
    state: Mutex<State<T, E>>,
    driver: Box<dyn Driver<T, E>>,
    /// How long those waited who had to.
    pub waits: Histogram,
    /// How long connections were out.
    pub usage: Histogram,
    /// How long it took to connect.
    pub connects: Histogram,
}

impl<T: Identity, E> Pool<T, E> {
    /// `era` tells a forked child's leases from its parent's.
    pub fn new(rules: Rules, era: u64, seed: u64, driver: Box<dyn Driver<T, E>>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State::new(rules, era, seed)),
            driver,
            waits: Histogram::default(),
            usage: Histogram::default(),
            connects: Histogram::default(),
        })
    }

    /// Begins to make the connections that are to be there always.
    pub fn start(self: &Arc<Self>, now: Instant) {
        let mut state = self.state.lock();
        state.plan(now);
        self.leave(state);
    }

    /// Lets go of the lock, and then tells those concerned what happened under it.
    #[inline]
    fn leave(self: &Arc<Self>, mut state: MutexGuard<'_, State<T, E>>) {
        let rouse = std::mem::take(&mut state.rouse);
        if rouse || !state.served.is_empty() || !state.alerted.is_empty() {
            let mut unheard = self.tell(state, rouse);
            while let Some(lease) = unheard.pop() {
                let mut state = self.state.lock();
                state.return_unused(lease, Instant::now());
                let rouse = std::mem::take(&mut state.rouse);
                unheard.extend(self.tell(state, rouse));
            }
        }
    }

    /// The leases of those who cannot be told any more: the next in line are to have
    /// their connections.
    fn tell(self: &Arc<Self>, mut state: MutexGuard<'_, State<T, E>>, rouse: bool) -> Vec<Lease> {
        let served = std::mem::take(&mut state.served);
        let alerted = std::mem::take(&mut state.alerted);
        drop(state);
        let mut unheard = Vec::new();
        for (waiter, waited) in served {
            self.waits.record(waited);
            if !waiter.wake()
                && let Some(Handed::Lease(lease)) = waiter.take()
            {
                unheard.push(lease);
            }
        }
        for onlooker in alerted {
            onlooker.wake();
        }
        if rouse {
            self.driver.rouse(self);
        }
        unheard
    }

    // ---- for callers

    /// A connection at once, unless somebody waits or it has to be checked first.
    /// `look` sees it under the lock.
    #[inline]
    pub fn try_lend<R>(
        self: &Arc<Self>,
        now: Instant,
        is_raw: bool,
        look: impl FnOnce(&mut T) -> R,
    ) -> Option<(Lease, R)> {
        let mut state = self.state.lock();
        if state.closed {
            return None;
        }
        let lease = state.lend_now(now, is_raw);
        let lent = match lease {
            Some(lease) => {
                state.counters.requests += 1;
                state
                    .lent(lease)
                    .map(|connection| (lease, look(connection)))
            }
            None => None,
        };
        self.leave(state);
        lent
    }

    /// A connection, or a place in the line.
    pub fn ask<R>(
        self: &Arc<Self>,
        now: Instant,
        is_raw: bool,
        bell: Option<Box<dyn Wake>>,
        look: impl FnOnce(&mut T) -> R,
    ) -> Result<Asked<R>, Refusal> {
        self.enter(now, is_raw, bell, false, look)
    }

    /// The same for one who has declined what it got: it was its turn already.
    pub fn ask_again<R>(
        self: &Arc<Self>,
        now: Instant,
        is_raw: bool,
        bell: Option<Box<dyn Wake>>,
        look: impl FnOnce(&mut T) -> R,
    ) -> Result<Asked<R>, Refusal> {
        self.enter(now, is_raw, bell, true, look)
    }

    fn enter<R>(
        self: &Arc<Self>,
        now: Instant,
        is_raw: bool,
        bell: Option<Box<dyn Wake>>,
        again: bool,
        look: impl FnOnce(&mut T) -> R,
    ) -> Result<Asked<R>, Refusal> {
        let mut state = self.state.lock();
        state.counters.requests += 1;
        if state.closed {
            state.counters.errors += 1;
            return Err(Refusal::Closed);
        }
        if let Some(lease) = state.lend_now(now, is_raw)
            && let Some(connection) = state.lent(lease)
        {
            let seen = look(connection);
            self.leave(state);
            return Ok(Asked::Lent(lease, seen));
        }
        let most = state.rules.max_waiting;
        if most > 0 && !again && state.line.len() >= most {
            state.counters.errors += 1;
            let waiting = state.line.len();
            self.leave(state);
            return Err(Refusal::TooMany(waiting));
        }
        let waiter = if again {
            state.line.join_first(bell, now)
        } else {
            state.counters.queued += 1;
            state.line.join(bell, now)
        };
        state.plan(now);
        self.leave(state);
        Ok(Asked::Queued(waiter))
    }

    /// The waiter leaves the line. A connection that it had been given in that very
    /// moment is its own to use or to return; with `Quit::Cancelled` it is for the
    /// caller to pass it on.
    #[must_use = "what it was given would be lost"]
    pub fn give_up(
        self: &Arc<Self>,
        waiter: &Waiter<Handed>,
        why: Quit,
        now: Instant,
    ) -> Option<Handed> {
        let mut state = self.state.lock();
        let handed = state.line.leave(waiter);
        if handed.is_none() {
            let wait = now.saturating_duration_since(waiter.since());
            state.counters.wait += wait;
            match why {
                Quit::TimedOut => state.counters.errors += 1,
                Quit::Cancelled => state.counters.cancelled += 1,
            }
            drop(state);
            self.waits.record(wait);
        } else {
            drop(state);
        }
        waiter.silence();
        handed
    }

    /// Passes on what a waiter was given that does not want it any more.
    pub fn pass_on(self: &Arc<Self>, handed: Handed, now: Instant) {
        if let Handed::Lease(lease) = handed {
            let mut state = self.state.lock();
            state.counters.cancelled += 1;
            state.return_unused(lease, now);
            self.leave(state);
        }
    }

    /// Shows what is lent under the lease; `is_raw` when the caller keeps nothing but
    /// the connection.
    pub fn view<R>(
        &self,
        lease: Lease,
        is_raw: Option<Instant>,
        look: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        let mut state = self.state.lock();
        if let Some(now) = is_raw {
            state.mark_raw(lease, now);
        }
        state.lent(lease).map(look)
    }

    /// The lease under which the connection with this key is out.
    pub fn lease_of(&self, key: usize) -> Result<Lease, NotOut> {
        self.state.lock().lease_of(key).map_err(|is_known| {
            if is_known {
                NotOut::AlreadyReturned
            } else {
                NotOut::Foreign
            }
        })
    }

    /// The connection is replaced when it comes back; whether it is out.
    pub fn doom(&self, lease: Lease) -> bool {
        self.state.lock().doom(lease)
    }

    /// Takes a connection back. `look` sees it once more, under the lock. `None` when
    /// the lease ended before.
    #[inline]
    pub fn give_back<R>(
        self: &Arc<Self>,
        lease: Lease,
        condition: Condition,
        now: Instant,
        look: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        let mut state = self.state.lock();
        let seen = state.lent(lease).map(look)?;
        let used = state.take_back(lease, condition, now);
        self.leave(state);
        self.usage.record(used);
        Some(seen)
    }

    /// Takes a connection back that the caller found broken before it used it. That is
    /// no use; where the caller asks anew it is no other request either, and otherwise
    /// the request ended here. `look` as in `give_back()`.
    pub fn decline<R>(
        self: &Arc<Self>,
        lease: Lease,
        asks_anew: bool,
        now: Instant,
        look: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        let mut state = self.state.lock();
        let seen = state.lent(lease).map(look)?;
        let unused = state.take_back(lease, Condition::Lost, now);
        state.counters.usage -= unused;
        if asks_anew {
            state.counters.requests -= 1;
        } else {
            state.counters.cancelled += 1;
        }
        self.leave(state);
        Some(seen)
    }

    // ---- for whoever does the work

    pub fn next(self: &Arc<Self>, now: Instant) -> Next<T> {
        let mut state = self.state.lock();
        let next = match state.next(now) {
            Ok(task) => Next::Do(task, state.has_tasks()),
            Err(_) if state.closed => Next::End,
            Err(until) => Next::Sleep(until),
        };
        self.leave(state);
        next
    }

    /// As `next()`, for one of several threads of which `others` sleep. With a task comes
    /// whether another one has to look at what else there is, now or later: `summon()`
    /// has it do so.
    pub fn next_of_many(self: &Arc<Self>, now: Instant, others: bool) -> Next<T> {
        let mut state = self.state.lock();
        let next = match state.next_of_many(now, others) {
            Ok((task, needs_another)) => Next::Do(task, needs_another),
            Err(_) if state.closed => Next::End,
            Err(until) => Next::Sleep(until),
        };
        self.leave(state);
        next
    }

    /// Has one more thread come.
    pub fn summon(self: &Arc<Self>) {
        self.driver.rouse(self);
    }

    /// Has somebody look for tasks, if there are any or nobody looks at the clock: for one
    /// who waits.
    pub fn remind(self: &Arc<Self>) {
        let state = self.state.lock();
        let is_due = state.has_tasks() || !state.is_watched;
        drop(state);
        if is_due {
            self.driver.rouse(self);
        }
    }

    /// Whether something waits to be done.
    pub fn has_tasks(&self) -> bool {
        self.state.lock().has_tasks()
    }

    /// Nobody will look at the clock for the pool any more.
    pub fn unwatched(&self) {
        self.state.lock().unwatched();
    }

    /// The attempt succeeded. The connection comes back when the pool has that very
    /// object already: then the attempt has to be reported as failed.
    pub fn connected(
        self: &Arc<Self>,
        ticket: Ticket,
        connection: T,
        took: Duration,
        now: Instant,
    ) -> Result<(), T> {
        let mut state = self.state.lock();
        state.connected(ticket, connection, now)?;
        state.counters.connecting += took;
        let outdated = state.last_error.take();
        self.finished(state);
        drop(outdated);
        self.connects.record(took);
        Ok(())
    }

    pub fn failed(self: &Arc<Self>, ticket: Ticket, error: E, took: Duration, now: Instant) {
        let mut state = self.state.lock();
        state.counters.connecting += took;
        state.failed(ticket, now);
        let outdated = state.last_error.replace(error);
        self.finished(state);
        drop(outdated);
    }

    pub fn checked(self: &Arc<Self>, ticket: Ticket, connection: T, is_good: bool, now: Instant) {
        let mut state = self.state.lock();
        state.tended(ticket, connection, is_good, now, false);
        self.finished(state);
    }

    pub fn was_reset(self: &Arc<Self>, ticket: Ticket, connection: T, is_good: bool, now: Instant) {
        let mut state = self.state.lock();
        state.tended(ticket, connection, is_good, now, true);
        self.finished(state);
    }

    /// Shows the connections that are out of which nothing but the bare connection is
    /// held, so that one that nobody has any more can be given back.
    pub fn bare<R>(&self, mut look: impl FnMut(&T) -> R) -> Vec<(Lease, R)> {
        let state = self.state.lock();
        state
            .bare()
            .map(|(lease, connection)| (lease, look(connection)))
            .collect()
    }

    /// A task of another kind is done.
    pub fn done(self: &Arc<Self>) {
        self.finished(self.state.lock());
    }

    fn finished(self: &Arc<Self>, mut state: MutexGuard<'_, State<T, E>>) {
        state.running -= 1;
        if state.is_idle_and_closed() {
            state.alert();
        }
        self.leave(state);
    }

    // ---- the pool as a whole

    pub fn drain(self: &Arc<Self>, now: Instant) {
        let mut state = self.state.lock();
        state.drain(now);
        self.leave(state);
    }

    pub fn resize(self: &Arc<Self>, min_size: usize, max_size: usize, now: Instant) {
        let mut state = self.state.lock();
        state.resize(min_size, max_size, now);
        self.leave(state);
    }

    /// Has all idle connections checked.
    pub fn check(self: &Arc<Self>) {
        let mut state = self.state.lock();
        state.check_idle();
        self.leave(state);
    }

    /// Answers all who wait, and has the idle connections closed; those that are out
    /// are closed when they come back. Whether it was open.
    pub fn close(self: &Arc<Self>, now: Instant) -> bool {
        let mut state = self.state.lock();
        let was_open = !state.closed;
        if was_open {
            state.close(now);
        }
        self.leave(state);
        was_open
    }

    pub fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Whether the pool is closed, and everything is done that this took.
    pub fn is_wound_up(&self) -> bool {
        self.state.lock().is_idle_and_closed()
    }

    /// Whether `min_size` connections are there.
    pub fn is_filled(&self) -> bool {
        self.state.lock().is_filled()
    }

    /// A place among those who are told when a connection was made or the pool closed;
    /// look again after taking it, and each time it is served.
    pub fn look_on(&self, bell: Option<Box<dyn Wake>>, now: Instant) -> Arc<Waiter<()>> {
        self.state.lock().onlookers.join(bell, now)
    }

    pub fn look_away(&self, onlooker: &Waiter<()>) {
        let _ = self.state.lock().onlookers.leave(onlooker);
        onlooker.silence();
    }

    // ---- figures

    pub fn gauges(&self) -> Gauges {
        self.state.lock().gauges()
    }

    pub fn counters(&self) -> Counters {
        self.state.lock().counters
    }

    /// Shows why the last attempt to connect failed, if the last one did.
    pub fn last_error<R>(&self, look: impl FnOnce(&E) -> R) -> Option<R> {
        self.state.lock().last_error.as_ref().map(look)
    }

    /// Whether the last attempt to connect failed.
    pub fn is_failing(&self) -> bool {
        self.state.lock().is_failing()
    }

    /// Shows the connections that lie in the pool to `look`, unless another thread is
    /// busy with them.
    #[cfg(not(loom))]
    pub fn try_visit<X>(
        &self,
        mut connection: impl FnMut(&T) -> Result<(), X>,
        error: impl FnOnce(&E) -> Result<(), X>,
    ) -> Result<(), X> {
        let Some(state) = self.state.try_lock() else {
            return Ok(());
        };
        state.connections().try_for_each(&mut connection)?;
        state.last_error.as_ref().map_or(Ok(()), error)
    }
}
