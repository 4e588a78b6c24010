//! A bounded set of things, made by their users, that goes round among them.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::core::metrics::{Histogram, Snapshot};
use crate::core::sync::Mutex;

use super::line::{Identity, Line, Waiter, Wake};

/// What one who asked for an item gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Grant<T> {
    Item(T),
    /// To make one, and to release it later; or to forfeit it.
    Permit,
}

pub enum Entry<T> {
    Granted(Grant<T>),
    /// There is none now: wait to be served.
    Queued(Arc<Waiter<Grant<T>>>),
    /// There is none now, and the caller did not want to wait.
    Unavailable,
}

/// Which idle item is handed out next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The one that was idle for longest: all are used alike.
    Fifo,
    /// The one that came back last: few are used while few are needed.
    Lifo,
}

/// Given back without having been handed out.
#[derive(Debug)]
pub struct Foreign<T>(pub T);

/// One moment of a rotation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub idle: usize,
    /// Handed out, or being made by those who have a permit.
    pub in_use: usize,
    pub waiting: usize,
    /// Items and permits handed out so far.
    pub acquired: u64,
    /// Of these, permits.
    pub permits: u64,
    /// Of these, the ones that were waited for.
    pub queued: u64,
    /// Those who waited and gave up.
    pub given_up: u64,
    pub released: u64,
    pub forfeited: u64,
}

/// The keys are addresses; one multiplication spreads them.
#[derive(Default)]
pub(super) struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn write_usize(&mut self, key: usize) {
        self.0 = (key as u64)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(26);
    }
}

struct State<T> {
    idle: VecDeque<T>,
    /// Keys of the items handed out.
    out: HashSet<usize, BuildHasherDefault<AddressHasher>>,
    /// Permits handed out and not used up.
    permits: usize,
    line: Line<Grant<T>>,
    max_size: usize,
    max_idle: usize,
    order: Order,
    counts: Counts,
}

impl<T> State<T> {
    fn size(&self) -> usize {
        self.idle.len() + self.out.len() + self.permits
    }

    /// Permits to those who wait, as far as there is room.
    fn grow(&mut self) -> Vec<Arc<Waiter<Grant<T>>>> {
        let mut served = Vec::new();
        while self.size() < self.max_size && !self.line.is_empty() {
            if let Ok(waiter) = self.line.serve(Grant::Permit) {
                self.permits += 1;
                self.counts.acquired += 1;
                self.counts.permits += 1;
                self.counts.queued += 1;
                served.push(waiter);
            }
        }
        served
    }
}

pub struct Rotation<T> {
    state: Mutex<State<T>>,
    waits: Histogram,
}

impl<T: Identity> Rotation<T> {
    /// At most `max_size` items exist, and `max_idle` of them unused.
    pub fn new(max_size: usize, max_idle: usize, order: Order) -> Self {
        Self {
            state: Mutex::new(State {
                idle: VecDeque::new(),
                out: HashSet::default(),
                permits: 0,
                line: Line::default(),
                max_size,
                max_idle,
                order,
                counts: Counts::default(),
            }),
            waits: Histogram::default(),
        }
    }

    /// An item or a permit; otherwise a place in the line, if the caller waits.
    pub fn enter(&self, waits: bool, bell: Option<Box<dyn Wake>>) -> Entry<T> {
        let mut state = self.state.lock();
        if state.line.is_empty() {
            let item = match state.order {
                Order::Fifo => state.idle.pop_front(),
                Order::Lifo => state.idle.pop_back(),
            };
            if let Some(item) = item {
                state.out.insert(item.key());
                state.counts.acquired += 1;
                return Entry::Granted(Grant::Item(item));
            }
            if state.size() < state.max_size {
                state.permits += 1;
                state.counts.acquired += 1;
                state.counts.permits += 1;
                return Entry::Granted(Grant::Permit);
            }
        }
        if waits {
            Entry::Queued(state.line.join(bell, Instant::now()))
        } else {
            Entry::Unavailable
        }
    }

    /// What a waiter took was waited for.
    pub fn waited(&self, waiter: &Waiter<Grant<T>>) {
        self.waits.record(waiter.since().elapsed());
    }

    /// The waiter gives up. What it had been given in that very moment comes back,
    /// for the caller to use or to release.
    #[must_use = "what it was given would be lost"]
    pub fn give_up(&self, waiter: &Waiter<Grant<T>>) -> Option<Grant<T>> {
        let mut state = self.state.lock();
        let given = state.line.leave(waiter);
        if given.is_none() {
            state.counts.given_up += 1;
        }
        drop(state);
        waiter.silence();
        given
    }

    /// Takes an item back, or one newly made with a permit. It goes to the first who
    /// waits. One that is too many comes back, for the caller to dispose of and then to
    /// forfeit: until then its place is taken, so that no more than may be exist.
    pub fn release(&self, item: T) -> Result<Option<T>, Foreign<T>> {
        let key = item.key();
        let mut state = self.state.lock();
        if !state.out.remove(&key) {
            // Newly made, unless it was returned already.
            if state.permits == 0 || state.idle.iter().any(|idle| idle.key() == key) {
                return Err(Foreign(item));
            }
            state.permits -= 1;
        }
        let is_one_too_many = state.size() >= state.max_size
            || (state.line.is_empty() && state.idle.len() >= state.max_idle);
        if is_one_too_many {
            state.out.insert(key);
            return Ok(Some(item));
        }
        state.counts.released += 1;
        match state.line.serve(Grant::Item(item)) {
            Ok(waiter) => {
                state.out.insert(key);
                state.counts.acquired += 1;
                state.counts.queued += 1;
                drop(state);
                waiter.wake();
            }
            Err(Grant::Item(item)) => state.idle.push_back(item),
            Err(Grant::Permit) => {}
        }
        Ok(None)
    }

    /// Gives a place up: that of a permit, or of the item with this key. Whether
    /// there was one. The first who waits gets a permit for it.
    pub fn forfeit(&self, key: Option<usize>) -> bool {
        let mut state = self.state.lock();
        let was_out = match key {
            Some(key) if state.out.remove(&key) => true,
            // Newly made with a permit, and never released.
            _ if state.permits > 0 => {
                state.permits -= 1;
                true
            }
            _ => false,
        };
        if !was_out {
            return false;
        }
        state.counts.forfeited += 1;
        let served = state.grow();
        drop(state);
        wake_all(&served);
        true
    }

    /// Other bounds; items that have no place any more come back, the oldest first.
    pub fn resize(&self, max_size: usize, max_idle: usize) -> Vec<T> {
        let mut state = self.state.lock();
        state.max_size = max_size;
        state.max_idle = max_idle;
        let mut surplus = Vec::new();
        while (state.size() > max_size || state.idle.len() > max_idle)
            && let Some(item) = state.idle.pop_front()
        {
            surplus.push(item);
        }
        let served = state.grow();
        drop(state);
        wake_all(&served);
        surplus
    }

    /// Takes out all idle items.
    pub fn drain(&self) -> Vec<T> {
        let mut state = self.state.lock();
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        idle.into()
    }

    pub fn counts(&self) -> Counts {
        let state = self.state.lock();
        Counts {
            idle: state.idle.len(),
            in_use: state.out.len() + state.permits,
            waiting: state.line.len(),
            ..state.counts.clone()
        }
    }

    /// How long those waited who had to.
    pub fn waits(&self) -> Snapshot {
        self.waits.snapshot()
    }

    /// Shows the idle items to `look`, unless another thread is busy with them.
    #[cfg(not(loom))]
    pub fn try_visit<E>(&self, look: impl FnMut(&T) -> Result<(), E>) -> Result<(), E> {
        match self.state.try_lock() {
            Some(state) => state.idle.iter().try_for_each(look),
            None => Ok(()),
        }
    }
}

fn wake_all<G>(served: &[Arc<Waiter<G>>]) {
    for waiter in served {
        waiter.wake();
    }
}

/// Waits on a thread, for tests and users without Python.
impl<T: Identity> Rotation<T> {
    /// An item or a permit within `limit`.
    pub fn acquire(&self, limit: Duration) -> Option<Grant<T>> {
        match self.enter(true, None) {
            Entry::Granted(grant) => Some(grant),
            Entry::Unavailable => None,
            Entry::Queued(waiter) => {
                let given = waiter.park(limit).or_else(|| self.give_up(&waiter));
                if given.is_some() {
                    self.waited(&waiter);
                }
                given
            }
        }
    }
}
