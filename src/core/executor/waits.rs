//! Which workers wait for tasks, and so do no work of their own.

use std::sync::Arc;

use crate::core::sync::{AtomicBool, AtomicUsize, Mutex, Ordering};

/// What one worker waits for while it runs a task.
///
/// A worker says so before it blocks. Where it blocks unseen (it waits for
/// several tasks at once), the tasks that it has asked to be told of stand for it
/// until they have ended.
pub struct Waits {
    state: Mutex<State>,
    /// Whether the worker's task has waited for anything; its own thread asks.
    used: AtomicBool,
    /// How many workers of the executor wait for anything.
    waiting: Arc<AtomicUsize>,
}

#[derive(Default)]
struct State {
    /// Which of the worker's tasks this is about.
    turn: u64,
    pending: usize,
}

/// A worker's interest in one task.
pub struct Interest {
    waits: Arc<Waits>,
    turn: u64,
}

impl Waits {
    pub(super) fn new(waiting: Arc<AtomicUsize>) -> Self {
        Self {
            state: Mutex::new(State::default()),
            used: AtomicBool::new(false),
            waiting,
        }
    }

    /// The worker wants to know when some task ends. On the worker's own thread.
    pub(super) fn begin(self: &Arc<Self>) -> Interest {
        self.used.store(true, Ordering::Relaxed);
        let mut state = self.state.lock();
        state.pending += 1;
        if state.pending == 1 {
            self.waiting.fetch_add(1, Ordering::AcqRel);
        }
        Interest {
            waits: Arc::clone(self),
            turn: state.turn,
        }
    }

    /// The worker's task has ended, and with it all that it waited for.
    pub(super) fn next_turn(&self) {
        if !self.used.load(Ordering::Relaxed) {
            return;
        }
        self.used.store(false, Ordering::Relaxed);
        let mut state = self.state.lock();
        state.turn += 1;
        if std::mem::take(&mut state.pending) > 0 {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Interest {
    /// Whether it is that of the same worker in the same task.
    pub fn is_like(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.waits, &other.waits) && self.turn == other.turn
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        let mut state = self.waits.state.lock();
        if state.turn == self.turn && state.pending > 0 {
            state.pending -= 1;
            if state.pending == 0 {
                self.waits.waiting.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }
}
