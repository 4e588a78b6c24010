//! What has to be done, and what came of it.

use std::time::Instant;

use crate::core::connections::backoff::{Hold, after, earlier};
use crate::core::connections::line::Identity;
use crate::core::connections::terms::{Lease, Task, Ticket};

use super::lending::SWEEP;
use super::{Slot, Stage, State};

impl<T: Identity, E> State<T, E> {
    /// Starts whatever those who wait, and the least size, need.
    pub(in crate::core::connections) fn plan(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        if self.rules.checks {
            while self.line.len() > self.connecting + self.tended
                && let Some(number) = self.next_idle(now)
            {
                self.tend(number, false, Task::Check);
            }
        }
        while self.wants_connection() {
            match self.backoff.hold(now, self.connecting) {
                Hold::Go => self.connect(now),
                Hold::Wait(until) => {
                    self.mind(until);
                    break;
                }
            }
        }
    }

    pub(super) fn wants_connection(&self) -> bool {
        let size = self.size();
        let coming = self.connecting + self.tended;
        size < self.rules.max_size && (size < self.rules.min_size || self.line.len() > coming)
    }

    pub(super) fn connect(&mut self, now: Instant) {
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                stage: Stage::Free,
                connection: None,
                key: 0,
                expires: None,
                uses: 0,
                since: now,
                is_doomed: false,
            });
            self.slots.len() as u32 - 1
        });
        let slot = self.slot(number);
        slot.stage = Stage::Connecting;
        slot.is_doomed = false;
        self.connecting += 1;
        self.urge(Task::Connect(Ticket(number)));
    }

    /// A new connection; one that the pool has already comes back.
    pub(in crate::core::connections) fn connected(
        &mut self,
        ticket: Ticket,
        connection: T,
        now: Instant,
    ) -> Result<(), T> {
        let key = connection.key();
        if self.by_key.contains_key(&key) {
            return Err(connection);
        }
        self.connecting -= 1;
        self.backoff.succeeded();
        self.by_key.insert(key, ticket.0);
        let cut = self.rules.lifetime_jitter * self.dice.roll();
        let life = self.rules.max_lifetime;
        let slot = &mut self.slots[ticket.0 as usize];
        slot.connection = Some(connection);
        slot.key = key;
        slot.uses = 0;
        slot.since = now;
        slot.expires = after(now, life.map(|life| life.mul_f64(1.0 - cut)));
        self.place(ticket.0, now, true);
        // Others may have been waiting for this attempt's outcome.
        self.plan(now);
        self.alert();
        Ok(())
    }

    pub(in crate::core::connections) fn failed(&mut self, ticket: Ticket, now: Instant) {
        self.connecting -= 1;
        self.counters.failures += 1;
        self.vacate(ticket.0);
        if self.backoff.failed(now, &self.rules, &mut self.dice) {
            self.defer(Task::ReportFailures);
        }
        self.plan(now);
    }

    /// The connection was checked, or reset: it is good, or it is replaced.
    pub(in crate::core::connections) fn tended(
        &mut self,
        ticket: Ticket,
        connection: T,
        is_good: bool,
        now: Instant,
        was_reset: bool,
    ) {
        self.tended -= 1;
        let checks = self.rules.checks;
        let slot = self.slot(ticket.0);
        let then_checked = slot.stage == Stage::Tended { then_checked: true };
        slot.connection = Some(connection);
        if !is_good {
            if was_reset {
                self.counters.returns_bad += 1;
            } else {
                self.counters.lost += 1;
            }
            self.retire(ticket.0);
        } else if then_checked && !self.is_spent(ticket.0, now) {
            self.tend(ticket.0, false, Task::Check);
        } else {
            self.place(ticket.0, now, !(was_reset && checks));
        }
        self.plan(now);
    }

    pub(in crate::core::connections) fn is_filled(&self) -> bool {
        self.size() - self.connecting >= self.rules.min_size
    }

    /// Has the onlookers look again.
    pub(in crate::core::connections) fn alert(&mut self) {
        while let Ok(waiter) = self.onlookers.serve(()) {
            self.alerted.push(waiter);
        }
    }

    /// What is due now becomes tasks; when to look again.
    pub(super) fn look_around(&mut self, now: Instant) -> Option<Instant> {
        let mut next = None;
        let mut place = 0;
        while let Some(&number) = self.idle.get(place) {
            let since = self.slot(number).since;
            let end = self.end_of_idling(number, since);
            if end.is_some_and(|end| end <= now) {
                self.idle.remove(place);
                self.retire(number);
            } else {
                place += 1;
            }
        }
        self.plan(now);
        for &number in &self.idle {
            let since = self.slots[number as usize].since;
            next = earlier(next, self.end_of_idling(number, since));
        }
        if self.wants_connection()
            && let Hold::Wait(until) = self.backoff.hold(now, self.connecting)
        {
            next = earlier(next, until);
        }
        next = earlier(next, self.look_for_leaks(now));
        if self.sweep_at.is_some_and(|due| due <= now) {
            self.sweep_at = None;
            if self.raw_out > 0 {
                self.defer(Task::Sweep);
                self.sweep_at = after(now, Some(SWEEP));
            }
        }
        next = earlier(next, self.sweep_at);
        if self.seen != self.serial {
            // What is out at this very moment comes back, or goes out again: that
            // alone is no reason to look each time.
            self.seen = self.serial;
            let limits = [
                self.rules.leak_limit,
                self.rules.max_idle,
                self.rules.max_lifetime,
            ];
            let shortest = limits.into_iter().flatten().min();
            next = earlier(next, after(now, shortest));
        }
        next
    }

    pub(super) fn look_for_leaks(&mut self, now: Instant) -> Option<Instant> {
        let limit = self.rules.leak_limit?;
        let mut next = None;
        for number in 0..self.slots.len() {
            let slot = &mut self.slots[number];
            let held = now.saturating_duration_since(slot.since);
            if let Stage::Out {
                serial,
                is_reported,
                ..
            } = &mut slot.stage
                && !*is_reported
            {
                if held >= limit {
                    *is_reported = true;
                    let lease = Lease {
                        slot: number as u32,
                        serial: *serial,
                    };
                    self.counters.leaks += 1;
                    self.defer(Task::ReportLeak(lease, held));
                } else {
                    next = earlier(next, after(slot.since, Some(limit)));
                }
            }
        }
        next
    }

    /// The next task; otherwise when to look again.
    pub(in crate::core::connections) fn next(
        &mut self,
        now: Instant,
    ) -> Result<Task<T>, Option<Instant>> {
        self.next_of_many(now, false).map(|(task, _)| task)
    }

    /// The same for one of several threads, of which `others` sleep. With a task comes
    /// whether another one is needed: it would be kept by the task, and nobody would look
    /// at the clock when it is time to.
    pub(in crate::core::connections) fn next_of_many(
        &mut self,
        now: Instant,
        others: bool,
    ) -> Result<(Task<T>, bool), Option<Instant>> {
        let (task, due) = self.take_task(now);
        let Some(task) = task else {
            self.alarm = due;
            self.is_watched = true;
            return Err(due);
        };
        if !others {
            self.unwatched();
        }
        let is_late = |due| !self.is_watched || self.alarm.is_none_or(|alarm| due < alarm);
        let needs_another = self.has_tasks() || due.is_some_and(is_late);
        Ok((task, needs_another))
    }

    fn take_task(&mut self, now: Instant) -> (Option<Task<T>>, Option<Instant>) {
        let due = if self.closed {
            None
        } else {
            self.look_around(now)
        };
        self.rouse = false;
        let task = self
            .urgent
            .pop_front()
            .or_else(|| self.deferred.pop_front());
        if let Some(task) = &task {
            if matches!(task, Task::Connect(_)) {
                self.counters.attempts += 1;
            }
            self.running += 1;
        }
        (task, due)
    }

    /// Nobody looks by themselves any more.
    pub(in crate::core::connections) fn unwatched(&mut self) {
        self.alarm = None;
        self.is_watched = false;
    }

    /// Connections that are out and bare.
    pub(in crate::core::connections) fn bare(&self) -> impl Iterator<Item = (Lease, &T)> {
        let lease = |(number, slot): (usize, &'_ Slot<T>)| match slot.stage {
            Stage::Out {
                serial,
                is_raw: true,
                ..
            } => Some(Lease {
                slot: number as u32,
                serial,
            }),
            _ => None,
        };
        let slots = self.slots.iter().enumerate();
        slots.filter_map(move |(number, slot)| lease((number, slot)).zip(slot.connection.as_ref()))
    }
}
