//! Drives a run as the binding does: a caller that begins alone, workers that
//! help once the run is handed over, and a thread that hands it over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use crate::core::graph::TaskDag;
use crate::core::locks::Mutex;
use crate::core::schedule::{Advance, Outcome, Run, RunSettings, Take, Taker};

/// A run that takes longer hangs.
const WATCHDOG: Duration = Duration::from_secs(20);

/// Longer than the watchdog: a lost wake-up must not pass for a slow one.
const NO_POLLING: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Debug)]
pub enum HandOver {
    Never,
    /// By the caller, before it starts the node at this position.
    AtRest(u32),
    /// By another thread, once this many nodes have started.
    AfterStarts(u32),
}

#[derive(Clone, Debug)]
pub struct Setup {
    pub dag: Arc<TaskDag>,
    pub limit: usize,
    pub pinned: Vec<bool>,
    pub failing: Vec<bool>,
    /// How long each node runs: 0 not at all, 1 a yield, 2 a sleep.
    pub pace: Vec<u8>,
    pub seconds: Vec<Option<f32>>,
    pub workers: usize,
    pub hand_over: HandOver,
    /// Another thread stops the run once this many nodes have started.
    pub stop_after_starts: Option<u32>,
    /// Another thread pauses the run once this many nodes have started, and
    /// lets it go on a moment later.
    pub pause_after_starts: Option<u32>,
    /// Whether the caller helps once the run is handed over.
    pub caller_runs: bool,
}

/// One node that ran. Times are ticks of a clock that all threads share.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub node: u32,
    pub on_caller: bool,
    pub failed: bool,
    /// Before its thread asked whether it may start a node.
    pub asked: u64,
    pub started: u64,
    pub ended: u64,
    /// After the run had been told of its end.
    pub reported: u64,
}

pub struct Report {
    /// In the order in which the nodes started.
    pub spans: Vec<Span>,
    /// After `stop` returned.
    pub stopped: Option<u64>,
    /// After the pause began, and before it ended.
    pub paused: Option<(u64, u64)>,
    /// What a worker would get now.
    pub left: Take,
}

struct Harness {
    setup: Setup,
    run: Run,
    clock: AtomicU64,
    starts: AtomicU32,
    /// Set when the caller has returned.
    over: AtomicU32,
    spans: Mutex<Vec<Span>>,
    stopped: Mutex<Option<u64>>,
    paused: Mutex<Option<(u64, u64)>>,
}

/// Runs `setup` to its end; panics when it hangs or a thread panics.
pub fn drive(setup: Setup) -> Report {
    let settings = RunSettings {
        limit: setup.limit,
        pinned: Arc::from(setup.pinned.clone()),
        durations: super::learned(&setup.dag, &setup.seconds),
    };
    let harness = Arc::new(Harness {
        run: Run::new(Arc::clone(&setup.dag), settings),
        clock: AtomicU64::new(0),
        starts: AtomicU32::new(0),
        over: AtomicU32::new(0),
        spans: Mutex::new(Vec::new()),
        stopped: Mutex::new(None),
        paused: Mutex::new(None),
        setup,
    });
    let mut roles: Vec<fn(&Harness)> = vec![Harness::caller];
    roles.extend(vec![Harness::worker as fn(&Harness); harness.setup.workers]);
    if matches!(harness.setup.hand_over, HandOver::AfterStarts(_)) {
        roles.push(Harness::hand_over_later);
    }
    if harness.setup.stop_after_starts.is_some() {
        roles.push(Harness::stop_later);
    }
    if harness.setup.pause_after_starts.is_some() {
        roles.push(Harness::pause_later);
    }
    let (sender, ended) = mpsc::channel();
    for role in &roles {
        let (role, harness, sender) = (*role, Arc::clone(&harness), sender.clone());
        std::thread::spawn(move || {
            role(&harness);
            let _ = sender.send(());
        });
    }
    drop(sender);
    for _ in &roles {
        match ended.recv_timeout(WATCHDOG) {
            Ok(()) => {}
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("the run hangs: {:?}", harness.setup),
            Err(mpsc::RecvTimeoutError::Disconnected) => panic!("a thread of the run panicked"),
        }
    }
    let mut spans = harness.spans.lock().clone();
    spans.sort_unstable_by_key(|span| span.started);
    Report {
        spans,
        stopped: *harness.stopped.lock(),
        paused: *harness.paused.lock(),
        left: harness.run.take(Taker::Worker),
    }
}

impl Harness {
    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst) > 0
    }

    /// Runs a node without reporting it to the run.
    fn execute(&self, node: u32, asked: u64, on_caller: bool) -> (Span, Outcome) {
        let started = self.now();
        self.starts.fetch_add(1, Ordering::SeqCst);
        match self.setup.pace[node as usize] {
            0 => {}
            1 => std::thread::yield_now(),
            _ => std::thread::sleep(Duration::from_micros(80)),
        }
        let failed = self.setup.failing[node as usize];
        let span = Span {
            node,
            on_caller,
            failed,
            asked,
            started,
            ended: self.now(),
            reported: 0,
        };
        let outcome = if failed {
            Outcome::Failed
        } else {
            Outcome::Done
        };
        (span, outcome)
    }

    fn keep(&self, mut span: Span) {
        span.reported = self.now();
        self.spans.lock().push(span);
    }

    fn execute_shared(&self, node: u32, asked: u64, on_caller: bool) {
        let (span, outcome) = self.execute(node, asked, on_caller);
        self.run.finish(node, outcome, 0.001);
        self.keep(span);
    }

    fn caller(&self) {
        let at_rest = matches!(self.setup.hand_over, HandOver::AtRest(0));
        let alone = self.run.solo_position().is_some();
        if alone && (at_rest || !self.setup.caller_runs) {
            self.run.hand_over_at_rest();
            self.together();
        } else if !(alone && self.solo()) {
            self.together();
        }
        self.over.store(1, Ordering::SeqCst);
    }

    /// Whether the run ended while the caller was alone.
    fn solo(&self) -> bool {
        for node in 0..self.setup.dag.node_count() as u32 {
            let asked = self.now();
            if self.run.is_stopped() {
                return self.run.close_solo(node) == Advance::Solo;
            }
            let at_rest = matches!(self.setup.hand_over, HandOver::AtRest(at) if at == node);
            if at_rest || self.run.is_pinned(node) {
                self.run.hand_over_at_rest();
                return false;
            }
            let (span, outcome) = self.execute(node, asked, true);
            let advance = if outcome == Outcome::Failed {
                self.run.close_solo(node)
            } else {
                self.run.advance(node)
            };
            if advance == Advance::HandedOver {
                self.run.finish(node, outcome, 0.001);
            }
            self.keep(span);
            if advance == Advance::HandedOver {
                return false;
            }
            if outcome == Outcome::Failed {
                return true;
            }
        }
        true
    }

    fn together(&self) {
        loop {
            let asked = self.now();
            let take = if self.setup.caller_runs {
                self.run.take(Taker::Caller)
            } else {
                self.run.progress()
            };
            match take {
                Take::Node(node) => {
                    let mut nodes = vec![node];
                    if self.run.is_pinned(node) {
                        nodes.extend(self.run.take_pinned());
                    }
                    self.execute_together(&nodes, asked);
                }
                Take::Wait => self.run.wait(self.setup.caller_runs, NO_POLLING),
                Take::Finished => return,
            }
        }
    }

    /// Runs nodes as an event loop would: all of them begin, then all end.
    fn execute_together(&self, nodes: &[u32], asked: u64) {
        let ran: Vec<_> = nodes
            .iter()
            .map(|&node| self.execute(node, asked, true))
            .collect();
        for (mut span, outcome) in ran {
            span.ended = self.now();
            self.run.finish(span.node, outcome, 0.001);
            self.keep(span);
        }
    }

    fn worker(&self) {
        while self.run.solo_position().is_some() {
            if self.is_over() {
                return;
            }
            std::thread::yield_now();
        }
        loop {
            let asked = self.now();
            match self.run.take(Taker::Worker) {
                Take::Node(node) => self.execute_shared(node, asked, false),
                Take::Wait => std::thread::yield_now(),
                Take::Finished => return,
            }
        }
    }

    fn wait_for_starts(&self, count: u32) {
        while self.starts.load(Ordering::SeqCst) < count && !self.is_over() {
            std::thread::yield_now();
        }
    }

    fn hand_over_later(&self) {
        if let HandOver::AfterStarts(count) = self.setup.hand_over {
            self.wait_for_starts(count);
            self.run.hand_over();
            self.run.hand_over();
        }
    }

    fn stop_later(&self) {
        if let Some(count) = self.setup.stop_after_starts {
            self.wait_for_starts(count);
            self.run.stop();
            *self.stopped.lock() = Some(self.now());
        }
    }

    fn pause_later(&self) {
        if let Some(count) = self.setup.pause_after_starts {
            self.wait_for_starts(count);
            self.run.set_paused(true);
            let began = self.now();
            std::thread::sleep(Duration::from_micros(300));
            let ends = self.now();
            self.run.set_paused(false);
            *self.paused.lock() = Some((began, ends));
        }
    }
}
