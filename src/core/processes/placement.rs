//! Where one node runs, and what was measured of it.
//!
//! A node is worth another process if it keeps a processor busy for long: its thread would keep
//! the interpreter from all others. It is measured where it is until it has shown that a few
//! times in a row, and is watched afterwards: if sending its inputs and outputs turns out to
//! cost much of what it works, it comes back for good, and if it has become short, it is
//! measured anew.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use crate::core::locks::Mutex;
use crate::core::threads::Spent;

/// Where a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Place {
    /// In this process.
    Here = 0,
    /// In another process.
    There = 1,
    /// In this process, and it is measured whether it should go.
    Measured = 2,
    /// In this process, and it is looked at whether it would do the same elsewhere.
    Watched = 3,
}

impl Place {
    fn from_u8(value: u8) -> Self {
        match value {
            1 => Self::There,
            2 => Self::Measured,
            3 => Self::Watched,
            _ => Self::Here,
        }
    }
}

/// From when on a node is worth another process.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Processor time that a node takes at the least.
    pub least_work: Duration,
    /// Part of its time that a node works, rather than waits, at the least. Small: here it may
    /// have waited for the interpreter. In another process it turns out whether it was that.
    pub least_share: f64,
    /// What sending may cost, as a part of the work.
    pub most_overhead: f64,
    /// How often in a row something has to be seen.
    pub sightings: u32,
}

/// What a measurement leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing has changed.
    AsBefore,
    /// The node is worth another process.
    Worth,
    /// Sending costs too much: the node is back, for good.
    TooDear,
    /// It waits more than it works: the same.
    TooIdle,
    /// The node has become short: it is back, and measured.
    TooShort,
}

#[derive(Debug, Default)]
struct Tally {
    /// Times in a row that speak for what is next.
    in_a_row: u32,
    runs: u64,
    work: f64,
    elapsed: f64,
}

impl Tally {
    /// Moving averages, in which the last eight or so count.
    fn add(&mut self, work: Duration, elapsed: Duration) {
        let weight = if self.runs == 0 { 1.0 } else { 0.125 };
        self.runs += 1;
        self.work += weight * (work.as_secs_f64() - self.work);
        self.elapsed += weight * (elapsed.as_secs_f64() - self.elapsed);
    }

    fn seen(&mut self, speaks_for: bool, policy: &Policy) -> bool {
        self.in_a_row = if speaks_for { self.in_a_row + 1 } else { 0 };
        self.in_a_row >= policy.sightings.max(1)
    }
}

/// Where one node runs, and why.
pub struct Placement {
    place: AtomicU8,
    /// Changes by what is measured; held for a moment.
    tally: Mutex<Tally>,
}

impl Placement {
    #[must_use]
    pub fn new(place: Place) -> Self {
        Self {
            place: AtomicU8::new(place as u8),
            tally: Mutex::new(Tally::default()),
        }
    }

    #[must_use]
    pub fn place(&self) -> Place {
        Place::from_u8(self.place.load(Ordering::Acquire))
    }

    /// Puts the node somewhere; what was counted in a row begins anew.
    pub fn put(&self, place: Place) {
        self.tally.lock().in_a_row = 0;
        self.place.store(place as u8, Ordering::Release);
    }

    /// Notes a run in this process, in which the node's thread has had a processor for `work`.
    ///
    /// A thread that did not wait of its own accord computes, however long it was kept from it: by
    /// the system, or by others that hold the interpreter.
    pub fn ran_here(&self, work: Duration, spent: Spent, policy: &Policy) -> Verdict {
        let elapsed = spent.elapsed;
        let share = policy.least_share * elapsed.as_secs_f64();
        let works = work >= policy.least_work && (!spent.waited || work.as_secs_f64() >= share);
        let mut tally = self.tally.lock();
        tally.add(work, elapsed);
        if self.place() == Place::Measured && tally.seen(works, policy) {
            return Verdict::Worth;
        }
        Verdict::AsBefore
    }

    /// Notes a run of a node in another process that was measured into going there: for how long
    /// it worked and waited there, and what sending and receiving took beside that.
    pub fn ran_there(
        &self,
        work: Duration,
        waited: Duration,
        overhead: Duration,
        policy: &Policy,
    ) -> Verdict {
        let is_idle = waited > work;
        let is_dear = overhead.as_secs_f64() > policy.most_overhead * work.as_secs_f64();
        let is_short = work < policy.least_work / 2;
        let mut tally = self.tally.lock();
        tally.add(work, work + waited);
        let speaks_for = is_dear || is_short || is_idle;
        if self.place() != Place::There || !tally.seen(speaks_for, policy) {
            return Verdict::AsBefore;
        }
        tally.in_a_row = 0;
        let (place, verdict) = if is_idle {
            (Place::Here, Verdict::TooIdle)
        } else if is_short {
            (Place::Measured, Verdict::TooShort)
        } else {
            (Place::Here, Verdict::TooDear)
        };
        self.place.store(place as u8, Ordering::Release);
        verdict
    }

    /// Runs that were measured, and the averages of their work and time in seconds.
    #[must_use]
    pub fn figures(&self) -> (u64, f64, f64) {
        let tally = self.tally.lock();
        (tally.runs, tally.work, tally.elapsed)
    }
}
