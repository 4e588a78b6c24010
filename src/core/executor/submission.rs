//! Tasks on their way into the queue, and those that wait for room in it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::worker::Slot;
use super::{Ending, Executor, Host};

/// What became of a task that was not refused.
pub enum Submission {
    Queued,
    /// It waits for room, and whoever brought it with it.
    Waits(Place),
}

/// A place among those that wait for room.
pub struct Place {
    number: u64,
    ticket: Arc<Slot>,
}

/// Why a task was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Full { queued: usize },
    Ended(Ending),
}

/// A task that was refused.
pub enum Refused<T> {
    /// It is given back.
    Back(T, Refusal),
    /// The executor has no thread and the system refuses one: nobody would ever
    /// run these, of which the last to be submitted is one.
    NoThread(Vec<T>),
}

/// What became of a wait for room.
pub enum Room<T> {
    Admitted,
    NotYet,
    /// The executor ended meanwhile.
    Ended(T, Ending),
}

pub(super) struct Waiting<T> {
    number: u64,
    pub(super) task: T,
    pub(super) priority: i64,
    pub(super) since: Instant,
    pub(super) ticket: Arc<Slot>,
}

impl<H: Host> Executor<H> {
    /// Queues a task. Where the queue is full, the task is refused, or waits in the
    /// order of arrival if `may_wait`.
    pub fn submit(
        self: &Arc<Self>,
        task: H::Task,
        priority: i64,
        may_wait: bool,
    ) -> Result<Submission, Refused<H::Task>> {
        let since = Instant::now();
        let mut state = self.state.lock();
        if let Some(ending) = state.ending {
            return Err(Refused::Back(task, Refusal::Ended(ending)));
        }
        if state.is_full() {
            if !may_wait {
                let queued = state.queued();
                return Err(Refused::Back(task, Refusal::Full { queued }));
            }
            let number = state.next_ticket;
            state.next_ticket += 1;
            let ticket = Arc::new(Slot::default());
            state.waiting_for_room.push_back(Waiting {
                number,
                task,
                priority,
                since,
                ticket: Arc::clone(&ticket),
            });
            return Ok(Submission::Waits(Place { number, ticket }));
        }
        state.push(task, priority, since);
        if self.settle(state, &[]) {
            return Ok(Submission::Queued);
        }
        let mut state = self.state.lock();
        if state.threads > 0 {
            return Ok(Submission::Queued);
        }
        let orphans = state.queue.drain();
        drop(state);
        let orphans = orphans.into_iter().map(|queued| queued.task).collect();
        Err(Refused::NoThread(orphans))
    }

    /// Queues a task whatever the bound: for a worker that cannot wait for itself.
    pub fn submit_beyond(self: &Arc<Self>, task: H::Task, priority: i64) -> Option<H::Task> {
        let mut state = self.state.lock();
        if state.ending.is_some() {
            return Some(task);
        }
        state.push(task, priority, Instant::now());
        self.settle(state, &[]);
        None
    }

    /// Blocks until there was room for the task, the executor ended, or `limit` is
    /// over.
    pub fn wait_for_room(&self, place: &Place, limit: Duration) -> Room<H::Task> {
        let deadline = Instant::now() + limit;
        let mut state = self.state.lock();
        loop {
            if place.ticket.is_woken() {
                return Room::Admitted;
            }
            if let Some(ending) = state.ending {
                let position = state.position(place.number);
                if let Some(waiting) = position.and_then(|at| state.waiting_for_room.remove(at)) {
                    return Room::Ended(waiting.task, ending);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Room::NotYet;
            }
            state = place.ticket.wait(state, left);
        }
    }

    /// Gives the place up; `None` if the task has been let in already.
    pub fn give_up(&self, place: &Place) -> Option<H::Task> {
        let mut state = self.state.lock();
        let position = state.position(place.number)?;
        let waiting = state.waiting_for_room.remove(position)?;
        Some(waiting.task)
    }
}

impl<T> super::state::State<T> {
    fn position(&self, number: u64) -> Option<usize> {
        // Numbers grow along the line.
        self.waiting_for_room
            .binary_search_by_key(&number, |waiting| waiting.number)
            .ok()
    }
}
