//! How an executor ends.

use std::sync::Arc;
use std::time::Duration;

use super::{Executor, Host};

/// Why an executor takes no more tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was asked to end, or nobody holds it any more.
    Shutdown,
    /// The process ends.
    Exit,
    /// Its threads cannot be prepared.
    Broken,
}

/// What is left of an executor that ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    pub threads: usize,
    pub queued: usize,
}

impl<H: Host> Executor<H> {
    /// Takes no more tasks. What is queued is still run, and threads leave once
    /// nothing is. The first reason stays, unless the executor breaks.
    pub fn end(self: &Arc<Self>, ending: Ending) {
        let mut state = self.state.lock();
        if state.ending.is_none() || ending == Ending::Broken {
            state.ending = Some(ending);
        }
        let idle: Vec<_> = state.idle.drain(..).collect();
        for (slot, _) in &idle {
            slot.wake();
        }
        let tickets: Vec<_> = state
            .waiting_for_room
            .iter()
            .map(|waiting| Arc::clone(&waiting.ticket))
            .collect();
        self.settle(state, &[]);
        for (slot, _) in idle {
            slot.notify();
        }
        for ticket in tickets {
            ticket.notify();
        }
    }

    /// Empties the queue. The tasks count as taken from it: those that are stale,
    /// or become so, are to be reported by `were_stale`.
    pub fn take_all(&self) -> Vec<H::Task> {
        let all = self.state.lock().queue.drain();
        all.into_iter().map(|queued| queued.task).collect()
    }

    pub fn ending(&self) -> Option<Ending> {
        self.state.lock().ending
    }

    /// Waits until no thread is left, at most `limit`; what is left then.
    pub fn join(&self, limit: Duration) -> Leftovers {
        let deadline = std::time::Instant::now() + limit;
        let mut state = self.state.lock();
        while state.alive > 0 {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.left.wait_for(state, left);
        }
        Leftovers {
            threads: state.alive,
            queued: state.queued(),
        }
    }
}
