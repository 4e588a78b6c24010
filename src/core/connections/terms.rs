//! The words in which a pool and its users talk.

use std::time::Duration;

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
