//! The line of those who wait: what becomes free goes straight to the first of
//! them, and never to somebody who came later.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::core::sync::{Condvar, Mutex};

/// What tells one thing from another for as long as a pool holds it.
pub trait Identity {
    fn key(&self) -> usize;
}

/// How a waiter hears that it was served, where no thread sleeps for it.
pub trait Wake: Send + Sync {
    /// Whether there is anybody left to hear it.
    fn wake(&self) -> bool;
}

enum Place<G> {
    Waiting,
    Served(G),
    /// It took what it was given, or gave up.
    Left,
}

/// One who waits for a `G`.
pub struct Waiter<G> {
    place: Mutex<Place<G>>,
    served: Condvar,
    bell: Mutex<Option<Arc<dyn Wake>>>,
    since: Instant,
}

impl<G> Waiter<G> {
    fn new(bell: Option<Box<dyn Wake>>, since: Instant) -> Self {
        Self {
            place: Mutex::new(Place::Waiting),
            served: Condvar::new(),
            bell: Mutex::new(bell.map(Arc::from)),
            since,
        }
    }

    /// When it joined the line.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// What it was given, if it was.
    pub fn take(&self) -> Option<G> {
        let mut place = self.place.lock();
        Self::taken(&mut place)
    }

    fn taken(place: &mut Place<G>) -> Option<G> {
        if !matches!(place, Place::Served(_)) {
            return None;
        }
        match std::mem::replace(place, Place::Left) {
            Place::Served(given) => Some(given),
            Place::Waiting | Place::Left => None,
        }
    }

    /// Sleeps until it is served, `limit` at most.
    pub fn park(&self, limit: Duration) -> Option<G> {
        // More than the clock can express is as good as for ever.
        let deadline = Instant::now().checked_add(limit);
        let mut place = self.place.lock();
        while matches!(*place, Place::Waiting) {
            let left = deadline.map_or(limit, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                break;
            }
            place = self.served.wait_for(place, left);
        }
        Self::taken(&mut place)
    }

    /// Tells it that it was served; `false` when nobody is left to hear it. Not while a
    /// lock is held: a bell may do anything.
    pub fn wake(&self) -> bool {
        let bell = self.bell.lock().clone();
        if let Some(bell) = bell {
            return bell.wake();
        }
        self.served.notify_all();
        true
    }

    /// Lets go of the bell of one who has left: the line may keep its place for a while.
    /// Not while a lock is held.
    pub fn silence(&self) {
        let bell = self.bell.lock().take();
        drop(bell);
    }
}

/// Those who wait, in the order in which they came.
///
/// It is part of what its owner's lock protects: the owner decides under that lock
/// who is served, and wakes after it has let go of it.
pub struct Line<G> {
    queue: VecDeque<Arc<Waiter<G>>>,
    /// Those in the queue who have not given up.
    waiting: usize,
}

impl<G> Default for Line<G> {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            waiting: 0,
        }
    }
}

/// How many in the queue may have given up before they are cleared away.
const LEFT_BEHIND: usize = 16;

impl<G> Line<G> {
    pub fn len(&self) -> usize {
        self.waiting
    }

    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    pub fn join(&mut self, bell: Option<Box<dyn Wake>>, now: Instant) -> Arc<Waiter<G>> {
        let waiter = Arc::new(Waiter::new(bell, now));
        self.queue.push_back(Arc::clone(&waiter));
        self.waiting += 1;
        waiter
    }

    /// The same before all others, for one whose turn it was already.
    pub fn join_first(&mut self, bell: Option<Box<dyn Wake>>, now: Instant) -> Arc<Waiter<G>> {
        let waiter = Arc::new(Waiter::new(bell, now));
        self.queue.push_front(Arc::clone(&waiter));
        self.waiting += 1;
        waiter
    }

    /// Gives the first in line what became free; who that was, to be woken. Comes
    /// back as an error when nobody waits.
    pub fn serve(&mut self, given: G) -> Result<Arc<Waiter<G>>, G> {
        while let Some(first) = self.queue.pop_front() {
            let mut place = first.place.lock();
            if matches!(*place, Place::Waiting) {
                *place = Place::Served(given);
                drop(place);
                self.waiting -= 1;
                return Ok(first);
            }
        }
        Err(given)
    }

    /// The waiter gives up: no one serves it any more. What it had been given in
    /// that very moment is its own to take or to pass on.
    #[must_use = "what it was given would be lost"]
    pub fn leave(&mut self, waiter: &Waiter<G>) -> Option<G> {
        let mut place = waiter.place.lock();
        match std::mem::replace(&mut *place, Place::Left) {
            Place::Waiting => {
                drop(place);
                self.waiting -= 1;
                if self.queue.len() > 2 * self.waiting + LEFT_BEHIND {
                    self.queue
                        .retain(|waiter| matches!(*waiter.place.lock(), Place::Waiting));
                }
                None
            }
            Place::Served(given) => Some(given),
            Place::Left => None,
        }
    }
}
