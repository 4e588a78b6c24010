//! Out and back.

use std::time::{Duration, Instant};

use crate::core::connections::backoff::{after, earlier};
use crate::core::connections::line::Identity;
use crate::core::connections::rotation::Order;
use crate::core::connections::terms::{Condition, Handed, Lease, Task, Ticket};

use super::{Stage, State};

/// How often connections are looked for that their user dropped.
pub(super) const SWEEP: Duration = Duration::from_secs(1);

impl<T: Identity, E> State<T, E> {
    /// Takes the idle connection that is next, leaving out those that are too old.
    pub(super) fn next_idle(&mut self, now: Instant) -> Option<u32> {
        loop {
            let number = match self.rules.order {
                Order::Fifo => self.idle.pop_front(),
                Order::Lifo => self.idle.pop_back(),
            }?;
            if self.slot(number).expires.is_some_and(|end| end <= now) {
                self.retire(number);
            } else {
                return Some(number);
            }
        }
    }

    /// The connection goes out.
    #[inline]
    pub(super) fn lend(&mut self, number: u32, now: Instant, is_raw: bool) -> Lease {
        self.serial += 1;
        let serial = self.serial;
        let slot = &mut self.slots[number as usize];
        slot.stage = Stage::Out {
            serial,
            is_raw,
            is_reported: false,
        };
        slot.uses += 1;
        slot.since = now;
        self.out += 1;
        if is_raw {
            self.note_raw(now);
        }
        if self.rules.leak_limit.is_some() {
            self.mind(after(now, self.rules.leak_limit));
        }
        Lease {
            slot: number,
            serial,
        }
    }

    pub(super) fn note_raw(&mut self, now: Instant) {
        self.raw_out += 1;
        if self.sweep_at.is_none() {
            self.sweep_at = after(now, Some(SWEEP));
            self.mind(self.sweep_at);
        }
    }

    /// A connection at once, where one may be handed out unchecked and nobody waits.
    #[inline]
    pub(in crate::core::connections) fn lend_now(
        &mut self,
        now: Instant,
        is_raw: bool,
    ) -> Option<Lease> {
        if !self.line.is_empty() || self.rules.checks {
            return None;
        }
        let number = self.next_idle(now)?;
        Some(self.lend(number, now, is_raw))
    }

    /// The holder turns out to keep the bare connection.
    pub(in crate::core::connections) fn mark_raw(&mut self, lease: Lease, now: Instant) {
        if let Some(slot) = self.slots.get_mut(lease.slot as usize)
            && let Stage::Out { serial, is_raw, .. } = &mut slot.stage
            && *serial == lease.serial
            && !std::mem::replace(is_raw, true)
        {
            self.note_raw(now);
        }
    }

    /// What is lent under this lease.
    #[inline]
    pub(in crate::core::connections) fn lent(&mut self, lease: Lease) -> Option<&mut T> {
        let slot = self.slots.get_mut(lease.slot as usize)?;
        match slot.stage {
            Stage::Out { serial, .. } if serial == lease.serial => slot.connection.as_mut(),
            _ => None,
        }
    }

    /// The lease under which the connection with this key is out. An error says
    /// whether it is the pool's at all.
    pub(in crate::core::connections) fn lease_of(&self, key: usize) -> Result<Lease, bool> {
        let Some(&number) = self.by_key.get(&key) else {
            return Err(false);
        };
        match self.slots[number as usize].stage {
            Stage::Out { serial, .. } => Ok(Lease {
                slot: number,
                serial,
            }),
            _ => Err(true),
        }
    }

    /// It is replaced when it comes back.
    pub(in crate::core::connections) fn doom(&mut self, lease: Lease) -> bool {
        let is_out = self.lent(lease).is_some();
        if is_out {
            self.slot(lease.slot).is_doomed = true;
        }
        is_out
    }

    /// Ends a lease that `lent` knows; how long it lasted.
    pub(in crate::core::connections) fn take_back(
        &mut self,
        lease: Lease,
        condition: Condition,
        now: Instant,
    ) -> Duration {
        self.out -= 1;
        let checks = self.rules.checks;
        let slot = &mut self.slots[lease.slot as usize];
        if matches!(slot.stage, Stage::Out { is_raw: true, .. }) {
            self.raw_out -= 1;
        }
        let used = now.saturating_duration_since(slot.since);
        slot.since = now;
        self.counters.usage += used;
        match condition {
            Condition::Broken | Condition::Dropped | Condition::Lost => {
                *match condition {
                    Condition::Dropped => &mut self.counters.returns_dropped,
                    Condition::Lost => &mut self.counters.lost,
                    _ => &mut self.counters.returns_bad,
                } += 1;
                self.retire(lease.slot);
                self.plan(now);
            }
            Condition::Unreset | Condition::UnresetSuspect if !self.is_spent(lease.slot, now) => {
                let then_checked = condition == Condition::UnresetSuspect && checks;
                self.tend(lease.slot, then_checked, Task::Reset);
            }
            Condition::Suspect if checks && !self.is_spent(lease.slot, now) => {
                self.tend(lease.slot, false, Task::Check);
            }
            _ => self.place(lease.slot, now, !checks),
        }
        used
    }

    /// Ends a lease under which nobody has used the connection.
    pub(in crate::core::connections) fn return_unused(&mut self, lease: Lease, now: Instant) {
        if self.lent(lease).is_some() {
            let unused = self.take_back(lease, Condition::Good, now);
            self.counters.usage -= unused;
        }
    }

    /// Whether the connection is not to be used again.
    #[inline]
    pub(super) fn is_spent(&self, number: u32, now: Instant) -> bool {
        let slot = &self.slots[number as usize];
        self.closed
            || slot.is_doomed
            || slot.expires.is_some_and(|end| end <= now)
            || self.rules.max_uses.is_some_and(|most| slot.uses >= most)
            || self.size() > self.rules.max_size
    }

    /// A connection that is in nobody's hands: to the first who waits, or idle.
    #[inline]
    pub(super) fn place(&mut self, number: u32, now: Instant, is_checked: bool) {
        if self.is_spent(number, now) {
            self.retire(number);
            self.plan(now);
            return;
        }
        if !self.line.is_empty() {
            if !is_checked {
                self.tend(number, false, Task::Check);
                return;
            }
            let lease = self.lend(number, now, false);
            if let Ok(waiter) = self.line.serve(Handed::Lease(lease)) {
                let waited = now.saturating_duration_since(waiter.since());
                self.counters.wait += waited;
                self.served.push((waiter, waited));
                return;
            }
            // Nobody waits after all.
            self.out -= 1;
        }
        let slot = &mut self.slots[number as usize];
        slot.stage = Stage::Idle;
        let since = slot.since;
        self.idle.push_back(number);
        let end = self.end_of_idling(number, since);
        self.mind(end);
    }

    pub(super) fn end_of_idling(&self, number: u32, since: Instant) -> Option<Instant> {
        let idle_end = if self.size() > self.rules.min_size {
            after(since, self.rules.max_idle)
        } else {
            None
        };
        earlier(idle_end, self.slots[number as usize].expires)
    }

    pub(super) fn tend(&mut self, number: u32, then_checked: bool, task: fn(Ticket, T) -> Task<T>) {
        let slot = self.slot(number);
        slot.stage = Stage::Tended { then_checked };
        if let Some(connection) = slot.connection.take() {
            self.tended += 1;
            self.urge(task(Ticket(number), connection));
        }
    }

    /// The connection leaves the pool, to be closed.
    pub(super) fn retire(&mut self, number: u32) {
        let slot = self.slot(number);
        let (key, connection) = (slot.key, slot.connection.take());
        self.vacate(number);
        if let Some(connection) = connection {
            self.by_key.remove(&key);
            self.counters.closed += 1;
            self.defer(Task::Close(connection));
        }
    }

    pub(super) fn vacate(&mut self, number: u32) {
        self.slot(number).stage = Stage::Free;
        self.free.push(number);
    }
}
