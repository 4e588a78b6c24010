//! Where each connection of a pool is, and what is to be done next. Everything here
//! happens under the pool's lock, at a moment that the caller names.

mod lending;
mod upkeep;
mod whole;

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::backoff::{Backoff, Dice};
use super::line::{Identity, Line, Waiter};
use super::rotation::AddressHasher;
use super::rules::Rules;
use super::terms::{Counters, Gauges, Handed, Lease, Task};

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
pub(in crate::core::connections) struct State<T, E> {
    pub(in crate::core::connections) rules: Rules,
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    by_key: HashMap<usize, u32, BuildHasherDefault<AddressHasher>>,
    /// The last to become idle is at the back.
    idle: VecDeque<u32>,
    pub(in crate::core::connections) line: Line<Handed>,
    /// Those who wait for something else, and look again when they are served.
    pub(in crate::core::connections) onlookers: Line<()>,
    connecting: usize,
    tended: usize,
    out: usize,
    raw_out: usize,
    sweep_at: Option<Instant>,
    urgent: VecDeque<Task<T>>,
    deferred: VecDeque<Task<T>>,
    /// Tasks taken and not finished.
    pub(in crate::core::connections) running: usize,
    backoff: Backoff,
    pub(in crate::core::connections) last_error: Option<E>,
    pub(in crate::core::connections) closed: bool,
    /// When somebody will look next by themselves.
    alarm: Option<Instant>,
    /// Whether somebody will: whoever takes a task may be kept by it.
    pub(in crate::core::connections) is_watched: bool,
    /// Somebody must look sooner than that.
    pub(in crate::core::connections) rouse: bool,
    serial: u64,
    pub(in crate::core::connections) counters: Counters,
    /// Those served under the lock, to be woken after it.
    pub(in crate::core::connections) served: Vec<(Arc<Waiter<Handed>>, Duration)>,
    pub(in crate::core::connections) alerted: Vec<Arc<Waiter<()>>>,
    /// The last checkout that was seen when somebody looked around.
    seen: u64,
    dice: Dice,
}

impl<T: Identity, E> State<T, E> {
    pub(in crate::core::connections) fn new(rules: Rules, era: u64, seed: u64) -> Self {
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
            is_watched: false,
            rouse: false,
            serial: era << Lease::ERA_SHIFT,
            counters: Counters::default(),
            served: Vec::new(),
            alerted: Vec::new(),
            seen: 0,
            dice: Dice::new(seed),
        }
    }

    pub(in crate::core::connections) fn gauges(&self) -> Gauges {
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

    pub(in crate::core::connections) fn has_tasks(&self) -> bool {
        !self.urgent.is_empty() || !self.deferred.is_empty()
    }
}
