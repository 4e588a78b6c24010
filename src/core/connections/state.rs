//! Where each connection of a pool is, and what is to be done next. Everything here
//! happens under the pool's lock, at a moment that the caller names.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::backoff::{Backoff, Dice, Hold, after, earlier};
use super::line::{Identity, Line, Waiter};
use super::rotation::{AddressHasher, Order};
use super::rules::Rules;

/// How often connections are looked for that their user dropped.
const SWEEP: Duration = Duration::from_secs(1);

/// One checkout of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub slot: u32,
    pub serial: u64,
}

impl Lease {
    /// What a lease's serial is shifted by to tell in which process it began: those of
    /// a forked child are higher than all of its parent's.
    pub const ERA_SHIFT: u32 = 48;
}

/// What one who waits is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handed {
    Lease(Lease),
    /// Nothing: the pool was closed.
    Closed,
}

/// A place in the pool whose connection is being worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(pub(super) u32);

/// What has to be done by somebody who may be kept waiting.
#[derive(Debug)]
pub enum Task<T> {
    Connect(Ticket),
    Check(Ticket, T),
    /// After its return, where the one who returned it does not do so.
    Reset(Ticket, T),
    Close(T),
    /// It is out for so long.
    ReportLeak(Lease, Duration),
    /// Look for connections that are out and that nobody has any more.
    Sweep,
    ReportFailures,
}

/// In what state a connection comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Good,
    /// Reset it before it is used again.
    Unreset,
    /// Check it before it is used again, if the pool checks.
    Suspect,
    UnresetSuspect,
    /// Replace it.
    Broken,
    /// Its user dropped it without returning it: replace it.
    Dropped,
    /// It was found broken before it was used: replace it.
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Free,
    Connecting,
    /// Checked, or reset: its connection is with whoever does so.
    Tended {
        then_checked: bool,
    },
    Idle,
    Out {
        serial: u64,
        is_raw: bool,
        is_reported: bool,
    },
}

struct Slot<T> {
    stage: Stage,
    connection: Option<T>,
    key: usize,
    expires: Option<Instant>,
    uses: u64,
    /// Since when it is idle, or out.
    since: Instant,
    /// It is replaced as soon as it is in nobody's hands.
    is_doomed: bool,
}

/// What was counted since the pool was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub requests: u64,
    pub queued: u64,
    pub wait: Duration,
    pub errors: u64,
    pub cancelled: u64,
    pub usage: Duration,
    pub returns_bad: u64,
    pub returns_dropped: u64,
    pub attempts: u64,
    pub connecting: Duration,
    pub failures: u64,
    pub lost: u64,
    pub closed: u64,
    pub leaks: u64,
}

/// How many connections are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    pub min_size: usize,
    pub max_size: usize,
    /// All there are, those that are being made included.
    pub size: usize,
    pub idle: usize,
    pub in_use: usize,
    /// Being checked or reset.
    pub tended: usize,
    pub connecting: usize,
    pub waiting: usize,
}

pub(super) struct State<T, E> {
    pub(super) rules: Rules,
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    by_key: HashMap<usize, u32, BuildHasherDefault<AddressHasher>>,
    /// The last to become idle is at the back.
    idle: VecDeque<u32>,
    pub(super) line: Line<Handed>,
    /// Those who wait for something else, and look again when they are served.
    pub(super) onlookers: Line<()>,
    connecting: usize,
    tended: usize,
    out: usize,
    raw_out: usize,
    sweep_at: Option<Instant>,
    urgent: VecDeque<Task<T>>,
    deferred: VecDeque<Task<T>>,
    /// Tasks taken and not finished.
    pub(super) running: usize,
    backoff: Backoff,
    pub(super) last_error: Option<E>,
    pub(super) closed: bool,
    /// When somebody will look next by themselves.
    alarm: Option<Instant>,
    /// Somebody must look sooner than that.
    pub(super) rouse: bool,
    serial: u64,
    pub(super) counters: Counters,
    /// Those served under the lock, to be woken after it.
    pub(super) served: Vec<(Arc<Waiter<Handed>>, Duration)>,
    pub(super) alerted: Vec<Arc<Waiter<()>>>,
    /// The last checkout that was seen when somebody looked around.
    seen: u64,
    dice: Dice,
}

impl<T: Identity, E> State<T, E> {
    pub(super) fn new(rules: Rules, era: u64, seed: u64) -> Self {
        Self {
            rules,
            slots: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::default(),
            idle: VecDeque::new(),
            line: Line::default(),
            onlookers: Line::default(),
            connecting: 0,
            tended: 0,
            out: 0,
            raw_out: 0,
            sweep_at: None,
            urgent: VecDeque::new(),
            deferred: VecDeque::new(),
            running: 0,
            backoff: Backoff::default(),
            last_error: None,
            closed: false,
            alarm: None,
            rouse: false,
            serial: era << Lease::ERA_SHIFT,
            counters: Counters::default(),
            served: Vec::new(),
            alerted: Vec::new(),
            seen: 0,
            dice: Dice::new(seed),
        }
    }

    pub(super) fn gauges(&self) -> Gauges {
        Gauges {
            min_size: self.rules.min_size,
            max_size: self.rules.max_size,
            size: self.size(),
            idle: self.idle.len(),
            in_use: self.out,
            tended: self.tended,
            connecting: self.connecting,
            waiting: self.line.len(),
        }
    }

    #[inline]
    fn size(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn slot(&mut self, number: u32) -> &mut Slot<T> {
        &mut self.slots[number as usize]
    }

    /// Something has to be done by then.
    #[inline]
    fn mind(&mut self, moment: Option<Instant>) {
        if let Some(moment) = moment
            && self.alarm.is_none_or(|alarm| moment < alarm)
        {
            self.rouse = true;
        }
    }

    fn urge(&mut self, task: Task<T>) {
        self.urgent.push_back(task);
        self.rouse = true;
    }

    fn defer(&mut self, task: Task<T>) {
        self.deferred.push_back(task);
        self.rouse = true;
    }

    pub(super) fn has_tasks(&self) -> bool {
        !self.urgent.is_empty() || !self.deferred.is_empty()
    }

    // ---- out and back

    /// Takes the idle connection that is next, leaving out those that are too old.
    fn next_idle(&mut self, now: Instant) -> Option<u32> {
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
    fn lend(&mut self, number: u32, now: Instant, is_raw: bool) -> Lease {
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

    fn note_raw(&mut self, now: Instant) {
        self.raw_out += 1;
        if self.sweep_at.is_none() {
            self.sweep_at = after(now, Some(SWEEP));
            self.mind(self.sweep_at);
        }
    }

    /// A connection at once, where one may be handed out unchecked and nobody waits.
    #[inline]
    pub(super) fn lend_now(&mut self, now: Instant, is_raw: bool) -> Option<Lease> {
        if !self.line.is_empty() || self.rules.checks {
            return None;
        }
        let number = self.next_idle(now)?;
        Some(self.lend(number, now, is_raw))
    }

    /// The holder turns out to keep the bare connection.
    pub(super) fn mark_raw(&mut self, lease: Lease, now: Instant) {
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
    pub(super) fn lent(&mut self, lease: Lease) -> Option<&mut T> {
        let slot = self.slots.get_mut(lease.slot as usize)?;
        match slot.stage {
            Stage::Out { serial, .. } if serial == lease.serial => slot.connection.as_mut(),
            _ => None,
        }
    }

    /// The lease under which the connection with this key is out. An error says
    /// whether it is the pool's at all.
    pub(super) fn lease_of(&self, key: usize) -> Result<Lease, bool> {
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
    pub(super) fn doom(&mut self, lease: Lease) -> bool {
        let is_out = self.lent(lease).is_some();
        if is_out {
            self.slot(lease.slot).is_doomed = true;
        }
        is_out
    }

    /// Ends a lease that `lent` knows; how long it lasted.
    pub(super) fn take_back(
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

    /// Whether the connection is not to be used again.
    #[inline]
    fn is_spent(&self, number: u32, now: Instant) -> bool {
        let slot = &self.slots[number as usize];
        self.closed
            || slot.is_doomed
            || slot.expires.is_some_and(|end| end <= now)
            || self.rules.max_uses.is_some_and(|most| slot.uses >= most)
            || self.size() > self.rules.max_size
    }

    /// A connection that is in nobody's hands: to the first who waits, or idle.
    #[inline]
    fn place(&mut self, number: u32, now: Instant, is_checked: bool) {
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

    fn end_of_idling(&self, number: u32, since: Instant) -> Option<Instant> {
        let idle_end = if self.size() > self.rules.min_size {
            after(since, self.rules.max_idle)
        } else {
            None
        };
        earlier(idle_end, self.slots[number as usize].expires)
    }

    fn tend(&mut self, number: u32, then_checked: bool, task: fn(Ticket, T) -> Task<T>) {
        let slot = self.slot(number);
        slot.stage = Stage::Tended { then_checked };
        if let Some(connection) = slot.connection.take() {
            self.tended += 1;
            self.urge(task(Ticket(number), connection));
        }
    }

    /// The connection leaves the pool, to be closed.
    fn retire(&mut self, number: u32) {
        let slot = self.slot(number);
        let (key, connection) = (slot.key, slot.connection.take());
        self.vacate(number);
        if let Some(connection) = connection {
            self.by_key.remove(&key);
            self.counters.closed += 1;
            self.defer(Task::Close(connection));
        }
    }

    fn vacate(&mut self, number: u32) {
        self.slot(number).stage = Stage::Free;
        self.free.push(number);
    }

    // ---- tasks

    /// Starts whatever those who wait, and the least size, need.
    pub(super) fn plan(&mut self, now: Instant) {
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

    fn wants_connection(&self) -> bool {
        let size = self.size();
        let coming = self.connecting + self.tended;
        size < self.rules.max_size && (size < self.rules.min_size || self.line.len() > coming)
    }

    fn connect(&mut self, now: Instant) {
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
    pub(super) fn connected(
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

    pub(super) fn failed(&mut self, ticket: Ticket, now: Instant) {
        self.connecting -= 1;
        self.counters.failures += 1;
        self.vacate(ticket.0);
        if self.backoff.failed(now, &self.rules, &mut self.dice) {
            self.defer(Task::ReportFailures);
        }
        self.plan(now);
    }

    /// The connection was checked, or reset: it is good, or it is replaced.
    pub(super) fn tended(
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

    pub(super) fn is_filled(&self) -> bool {
        self.size() - self.connecting >= self.rules.min_size
    }

    /// Has the onlookers look again.
    pub(super) fn alert(&mut self) {
        while let Ok(waiter) = self.onlookers.serve(()) {
            self.alerted.push(waiter);
        }
    }

    /// What is due now becomes tasks; when to look again.
    fn look_around(&mut self, now: Instant) -> Option<Instant> {
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

    fn look_for_leaks(&mut self, now: Instant) -> Option<Instant> {
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
    pub(super) fn next(&mut self, now: Instant) -> Result<Task<T>, Option<Instant>> {
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
        if let Some(task) = task {
            if matches!(task, Task::Connect(_)) {
                self.counters.attempts += 1;
            }
            self.running += 1;
            return Ok(task);
        }
        self.alarm = due;
        Err(due)
    }

    /// Nobody looks by themselves any more.
    pub(super) fn unwatched(&mut self) {
        self.alarm = None;
    }

    /// Connections that are out and bare.
    pub(super) fn bare(&self) -> impl Iterator<Item = (Lease, &T)> {
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

    // ---- the pool as a whole

    /// All connections of now are replaced: idle ones at once, others once they are
    /// in nobody's hands.
    pub(super) fn drain(&mut self, now: Instant) {
        for slot in &mut self.slots {
            slot.is_doomed |= slot.stage != Stage::Free;
        }
        while let Some(number) = self.idle.pop_front() {
            self.retire(number);
        }
        self.plan(now);
    }

    pub(super) fn resize(&mut self, min_size: usize, max_size: usize, now: Instant) {
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
    pub(super) fn check_idle(&mut self) {
        if self.rules.checks {
            while let Some(number) = self.idle.pop_front() {
                self.tend(number, false, Task::Check);
            }
        }
    }

    pub(super) fn close(&mut self, now: Instant) {
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
    pub(super) fn is_failing(&self) -> bool {
        self.backoff.is_failing()
    }

    pub(super) fn is_idle_and_closed(&self) -> bool {
        self.closed && self.running == 0 && !self.has_tasks()
    }

    /// Shows all connections that lie in the pool.
    pub(super) fn connections(&self) -> impl Iterator<Item = &T> {
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
