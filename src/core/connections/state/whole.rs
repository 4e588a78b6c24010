//! The pool as a whole.

use std::time::Instant;

use crate::core::connections::line::Identity;
use crate::core::connections::terms::{Handed, Task};

use super::{Stage, State};

impl<T: Identity, E> State<T, E> {
    /// All connections of now are replaced: idle ones at once, others once they are
    /// in nobody's hands.
    pub(in crate::core::connections) fn drain(&mut self, now: Instant) {
        for slot in &mut self.slots {
            slot.is_doomed |= slot.stage != Stage::Free;
        }
        while let Some(number) = self.idle.pop_front() {
            self.retire(number);
        }
        self.plan(now);
    }

    pub(in crate::core::connections) fn resize(
        &mut self,
        min_size: usize,
        max_size: usize,
        now: Instant,
    ) {
        self.rules.min_size = min_size;
        self.rules.max_size = max_size;
        while self.size() > max_size
            && let Some(number) = self.idle.pop_front()
        {
            self.retire(number);
        }
        self.plan(now);
        self.alert();
        self.rouse = true;
    }

    /// All idle connections are checked.
    pub(in crate::core::connections) fn check_idle(&mut self) {
        while let Some(number) = self.idle.pop_front() {
            self.tend(number, false, Task::Check);
        }
    }

    pub(in crate::core::connections) fn close(&mut self, now: Instant) {
        self.closed = true;
        while let Ok(waiter) = self.line.serve(Handed::Closed) {
            self.counters.errors += 1;
            let waited = now.saturating_duration_since(waiter.since());
            self.counters.wait += waited;
            self.served.push((waiter, waited));
        }
        self.alert();
        while let Some(number) = self.idle.pop_front() {
            self.retire(number);
        }
        // What nobody has begun is not begun any more.
        for task in std::mem::take(&mut self.urgent) {
            match task {
                Task::Connect(ticket) => {
                    self.connecting -= 1;
                    self.vacate(ticket.0);
                }
                Task::Check(ticket, connection) | Task::Reset(ticket, connection) => {
                    self.tended -= 1;
                    self.slot(ticket.0).connection = Some(connection);
                    self.retire(ticket.0);
                }
                other => self.deferred.push_back(other),
            }
        }
        self.rouse = true;
    }

    /// Whether servers seem to be away.
    pub(in crate::core::connections) fn is_failing(&self) -> bool {
        self.backoff.is_failing()
    }

    pub(in crate::core::connections) fn is_idle_and_closed(&self) -> bool {
        self.closed && self.running == 0 && !self.has_tasks()
    }

    /// Shows all connections that lie in the pool.
    #[cfg(not(loom))]
    pub(in crate::core::connections) fn connections(&self) -> impl Iterator<Item = &T> {
        let waiting = self.urgent.iter().chain(&self.deferred);
        let waiting = waiting.filter_map(|task| match task {
            Task::Check(_, connection) | Task::Reset(_, connection) | Task::Close(connection) => {
                Some(connection)
            }
            _ => None,
        });
        let lying = self
            .slots
            .iter()
            .filter_map(|slot| slot.connection.as_ref());
        lying.chain(waiting)
    }
}
