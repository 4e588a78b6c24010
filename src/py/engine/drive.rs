//! The loop that runs nodes: alone at first, with workers when that pays.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyException;
use pyo3::prelude::*;

use crate::core::locks::Mutex;
use crate::core::schedule::{Advance, Outcome, Run, Take, Taker};
use crate::core::threads::{Job, Watching, fork_generation, pool, watch};

use super::context::RunContext;
use super::lock_wait::{detached, uncounted_wait};
use super::program::Program;
use super::run_watch::RunWatch;
use super::served::{Service, ServiceTerms};
use super::sites::{Site, Step};
use super::trace::Trace;
use super::workers::{Crew, grow_workers, is_worker, prepare_workers, reserve_worker};

/// A waiting caller looks for signals this often.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(50);

/// Threads that a run asks for at the most, whatever its limit: they exist
/// before the first node runs, and a thread costs memory even while it waits.
const MOST_THREADS: usize = 1024;

/// Solo nodes between two looks for signals, for nodes that never enter the
/// interpreter's own loop, which looks by itself.
const SIGNAL_NODES: u32 = 1024;

/// Why a run ended before all of its nodes had run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    Failed,
    Cancelled,
    TimedOut,
}

/// How far `drive` came.
pub(crate) enum Driven {
    /// All nodes ran.
    Finished,
    Stopped(StopReason),
    /// These nodes must be run by the caller in its own way, reported with
    /// `finish_pinned`, and `drive` called again.
    Pinned(Vec<u32>),
}

pub(crate) struct Limits {
    pub deadline: Option<Instant>,
    /// Whether the calling thread runs nodes itself. It does not when a
    /// deadline must hold even while a node blocks.
    pub caller_runs: bool,
}

pub(crate) struct Execution<P: Program> {
    pub(crate) run: Arc<Run>,
    pub(crate) program: P,
    pub(crate) context: RunContext,
    pub(crate) trace: Option<Trace>,
    /// Who is told of the run, where nobody's thread waits for it.
    pub(super) service: Option<Service<P>>,
    failure: Mutex<Option<(u32, PyErr)>>,
    stop_reason: Mutex<Option<StopReason>>,
    /// Set by the watcher: the run has lasted another tick.
    pub(super) ticked: Arc<AtomicBool>,
    pub(super) watching: Mutex<Option<Watching>>,
    /// A node ended with an exception that must not wait for others, such as
    /// `KeyboardInterrupt`.
    pub(super) abandoned: AtomicBool,
    pub(crate) has_pinned: bool,
    /// What workers are asked to do for this run.
    help: Arc<dyn Job>,
    crew: Crew,
    generation: u64,
}

/// Help for a run, if it still lasts. Queues and the watcher hold this instead
/// of the run: they have no interpreter in which its objects could be dropped.
struct Help<P: Program>(Weak<Execution<P>>);

impl<P: Program> Job for Help<P> {
    fn work(&self) {
        Python::attach(|py| {
            if let Some(execution) = self.0.upgrade() {
                execution.help(py);
            }
        });
    }
}

impl<P: Program> Execution<P> {
    pub(crate) fn new(
        run: Arc<Run>,
        program: P,
        context: RunContext,
        has_pinned: bool,
        traced: bool,
        terms: Option<ServiceTerms>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            run,
            program,
            context,
            trace: traced.then(Trace::new),
            service: terms.map(|terms| Service::new(terms, me)),
            failure: Mutex::new(None),
            stop_reason: Mutex::new(None),
            ticked: Arc::default(),
            watching: Mutex::new(None),
            abandoned: AtomicBool::new(false),
            has_pinned,
            help: Arc::new(Help(Weak::clone(me))),
            crew: Crew::new(),
            generation: fork_generation(),
        })
    }

    /// Runs nodes until all are done, the run is stopped, or pinned nodes wait
    /// for the caller. An error is one of the calling thread's own: a signal.
    pub(crate) fn drive(&self, py: Python<'_>, limits: &Limits) -> PyResult<Driven> {
        let _reserved = (!limits.caller_runs).then(reserve_worker);
        let driven = self.drive_phases(py, limits);
        if driven.is_err() {
            self.stop(StopReason::Failed);
        }
        if !matches!(driven, Ok(Driven::Pinned(_))) {
            drop(self.watching.lock().take());
            if self.run.solo_position().is_none() {
                self.run.durations().refresh(self.run.dag());
            }
        }
        let goes_on = matches!(driven, Ok(Driven::Finished | Driven::Pinned(_)));
        if !goes_on && !self.is_forked() && self.run.progress() == Take::Wait {
            self.crew.abandon();
        }
        driven
    }

    /// Whether this is a child process, forked while the run lasted.
    pub(super) fn is_forked(&self) -> bool {
        self.generation != fork_generation()
    }

    /// How many nodes can run at the same time in this run.
    pub(super) fn width(&self) -> usize {
        let dag = self.run.dag();
        if dag.is_chain_like() {
            return 1;
        }
        // No two nodes of a path run together, so the longest one bounds how
        // many ever can.
        let together = dag.node_count() + 1 - dag.depth().min(dag.node_count());
        self.run.limit().min(together).min(MOST_THREADS)
    }

    /// Starts the workers that the run may want; returns how many there are.
    /// A node's memory limit could keep a thread from starting, so this comes
    /// before any such limit.
    pub(crate) fn prepare(&self, caller_runs: bool) -> usize {
        let width = self.width();
        let helpers = if caller_runs { width - 1 } else { width.max(1) };
        if helpers == 0 {
            0
        } else {
            prepare_workers(helpers)
        }
    }

    fn drive_phases(&self, py: Python<'_>, limits: &Limits) -> PyResult<Driven> {
        let parallel = self.width() > 1;
        let workers = self.prepare(limits.caller_runs);
        let caller_runs = limits.caller_runs || workers == 0;
        let may_hand_over = parallel && workers > 0;
        if may_hand_over || self.has_pinned || !caller_runs {
            self.program.is_shared(&self.run);
        }
        if may_hand_over || P::WANTS_TICKS {
            // Kept while the caller is away with pinned nodes.
            self.watching
                .lock()
                .get_or_insert_with(|| self.watch(may_hand_over));
        }
        let _entered = self.context.enter(py)?;

        if self.run.solo_position().is_some() {
            if !caller_runs || (parallel && self.run.durations().has_blocking()) {
                self.run.hand_over_at_rest();
            } else if let Some(driven) = self.solo(py)? {
                return Ok(driven);
            }
        }
        self.call_for_help(self.run.blocking_ready_now().max(usize::from(!caller_runs)));
        self.together(py, caller_runs, limits.deadline)
    }

    fn watch(&self, may_hand_over: bool) -> Watching {
        let help = Arc::clone(&self.help);
        let nested = is_worker();
        self.watch_and(may_hand_over, move |workers| {
            grow_workers(workers, nested);
            pool().submit(&help, workers);
        })
    }

    /// Has the run watched; `bring` gets workers for it, and must do without
    /// the interpreter.
    pub(super) fn watch_and(
        &self,
        may_hand_over: bool,
        bring: impl Fn(usize) + Send + Sync + 'static,
    ) -> Watching {
        watch(Arc::new(RunWatch::new(
            Arc::clone(&self.run),
            Arc::clone(&self.ticked),
            may_hand_over,
            Box::new(bring),
        )))
    }

    /// The first failure in topological order, if any node failed.
    pub(crate) fn take_failure(&self) -> Option<(u32, PyErr)> {
        self.failure.lock().take()
    }

    /// No node starts from now on, for the given reason.
    pub(crate) fn stop(&self, reason: StopReason) {
        self.stop_reason.lock().get_or_insert(reason);
        self.run.stop();
    }

    pub(super) fn fail(&self, py: Python<'_>, node: u32, error: PyErr) {
        if !error.is_instance_of::<PyException>(py) {
            self.abandoned.store(true, Ordering::Release);
        }
        self.stop_reason.lock().get_or_insert(StopReason::Failed);
        let mut failure = self.failure.lock();
        if failure.as_ref().is_none_or(|(first, _)| node < *first) {
            let replaced = failure.replace((node, error));
            drop(failure);
            drop(replaced);
        }
    }

    pub(crate) fn ended(&self) -> Driven {
        match *self.stop_reason.lock() {
            None => Driven::Finished,
            Some(reason) => Driven::Stopped(reason),
        }
    }

    /// Runs nodes in order on the calling thread. `None` once handed over.
    fn solo(&self, py: Python<'_>) -> PyResult<Option<Driven>> {
        let node_count = self.run.dag().node_count() as u32;
        let cancellable = self.program.can_be_cancelled();
        let mut node = 0;
        while node < node_count {
            if self.run.is_stopped() {
                if self.run.close_solo(node) == Advance::HandedOver {
                    return Ok(None);
                }
                return Ok(Some(self.ended()));
            }
            if cancellable && self.program.is_cancelled(py)? {
                self.stop(StopReason::Cancelled);
                continue;
            }
            if self.has_pinned && self.run.is_pinned(node) {
                self.run.hand_over_at_rest();
                return Ok(None);
            }
            if self.ticked.load(Ordering::Relaxed) {
                self.ticked.store(false, Ordering::Relaxed);
                self.program.between_nodes(py);
            }
            let start = self.trace.as_ref().map(|_| Instant::now());
            let result = self.program.execute(py, node, Site::Driven);
            if let (Some(trace), Some(start)) = (&self.trace, start) {
                trace.record(py, node, start, Instant::now());
            }
            if let Err(error) = result {
                self.fail(py, node, error);
                if self.run.close_solo(node) == Advance::HandedOver {
                    self.run.finish(node, Outcome::Failed, stuck_seconds());
                    return Ok(None);
                }
                return Ok(Some(self.ended()));
            }
            if self.run.advance(node) == Advance::HandedOver {
                self.run.finish(node, Outcome::Done, stuck_seconds());
                return Ok(None);
            }
            node += 1;
            if node.is_multiple_of(SIGNAL_NODES) {
                py.check_signals()?;
            }
        }
        Ok(Some(Driven::Finished))
    }

    /// The caller's part once the run is handed over.
    fn together(
        &self,
        py: Python<'_>,
        caller_runs: bool,
        deadline: Option<Instant>,
    ) -> PyResult<Driven> {
        let cancellable = self.program.can_be_cancelled();
        loop {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                self.stop(StopReason::TimedOut);
                return Ok(self.ended());
            }
            if cancellable && !self.run.is_stopped() && self.program.is_cancelled(py)? {
                self.stop(StopReason::Cancelled);
            }
            if self.abandoned.load(Ordering::Acquire) {
                self.run.stop();
                return Ok(self.ended());
            }
            let take = if caller_runs {
                self.run.take(Taker::Caller)
            } else {
                self.run.progress()
            };
            match take {
                Take::Node(node) if self.has_pinned && self.run.is_pinned(node) => {
                    let mut nodes = vec![node];
                    nodes.extend(self.run.take_pinned());
                    nodes.sort_unstable();
                    return Ok(Driven::Pinned(nodes));
                }
                Take::Node(node) => {
                    self.context.catch_up(py)?;
                    let (outcome, seconds) = self.execute_driven(py, node);
                    self.report(node, outcome, seconds);
                }
                Take::Wait => {
                    if self.is_forked() {
                        return Err(pyo3::exceptions::PyRuntimeError::new_err(
                            "this run was forked while its nodes ran on threads of the parent \
                             process; run the graph anew in the child",
                        ));
                    }
                    let pause = deadline.map_or(SIGNAL_INTERVAL, |deadline| {
                        SIGNAL_INTERVAL.min(deadline.saturating_duration_since(Instant::now()))
                    });
                    detached(py, || self.run.wait(caller_runs, pause));
                    if let Err(signal) = py.check_signals() {
                        self.stop(StopReason::Failed);
                        return Err(signal);
                    }
                }
                Take::Finished => return Ok(self.ended()),
            }
        }
    }

    /// A worker's part: nodes until none is ready.
    fn help(&self, py: Python<'_>) {
        if let Some(waited) = uncounted_wait() {
            self.program.came(waited);
        }
        if P::WANTS_TICKS {
            // Whatever holds for nodes that run together holds from here on.
            self.program.between_nodes(py);
        }
        while let Take::Node(node) = self.run.take(Taker::Worker) {
            let inside = self.crew.enter();
            let ran = self
                .context
                .run_copied(py, || self.execute_driven(py, node));
            drop(inside);
            let (outcome, seconds) = ran.unwrap_or_else(|error| {
                self.fail(py, node, error);
                (Outcome::Failed, 0.0)
            });
            if self.is_forked() {
                // The run belongs to the parent process.
                return;
            }
            self.report(node, outcome, seconds);
        }
    }

    fn execute_driven(&self, py: Python<'_>, node: u32) -> (Outcome, f32) {
        let (outcome, seconds) = self.execute_shared(py, node, Site::Driven);
        (outcome.unwrap_or(Outcome::Done), seconds)
    }

    /// How a node has ended, and after how many seconds; it has not if it is parked.
    pub(super) fn execute_shared(
        &self,
        py: Python<'_>,
        node: u32,
        site: Site,
    ) -> (Option<Outcome>, f32) {
        if self.ticked.load(Ordering::Relaxed) {
            self.ticked.store(false, Ordering::Relaxed);
            self.program.between_nodes(py);
        }
        let start = Instant::now();
        let result = self.program.execute(py, node, site);
        let end = Instant::now();
        let outcome = match result {
            Ok(Step::Parked) => None,
            Ok(_) => Some(Outcome::Done),
            Err(error) => {
                self.fail(py, node, error);
                Some(Outcome::Failed)
            }
        };
        if let Some(trace) = &self.trace
            && outcome.is_some()
        {
            trace.record(py, node, start, end);
        }
        (outcome, end.duration_since(start).as_secs_f32())
    }

    /// Reports a node that has ended: from now on nodes that wait for it start.
    fn report(&self, node: u32, outcome: Outcome, seconds: f32) {
        let blocking = self.run.finish(node, outcome, seconds);
        // This thread takes one of them itself.
        self.call_for_help(blocking.saturating_sub(1));
    }

    /// Reports a pinned node that the caller ran itself.
    pub(crate) fn finish_pinned(
        &self,
        py: Python<'_>,
        node: u32,
        seconds: f32,
        error: Option<PyErr>,
    ) {
        let outcome = self.outcome(py, node, error);
        if self.service.is_some() {
            // Called on the loop, which looks afterwards.
            self.run.finish_and_look(node, outcome, seconds);
            self.leave_loop_place();
            self.look_after(py, true);
        } else {
            self.run.finish(node, outcome, seconds);
        }
    }

    pub(super) fn outcome(&self, py: Python<'_>, node: u32, error: Option<PyErr>) -> Outcome {
        match error {
            None => Outcome::Done,
            Some(error) => {
                self.fail(py, node, error);
                Outcome::Failed
            }
        }
    }

    /// Wakes workers for nodes that are ready and known to block.
    fn call_for_help(&self, helpers: usize) {
        pool().submit(&self.help, helpers);
    }
}

/// How long a node that the watcher found stuck has run at the least.
pub(super) fn stuck_seconds() -> f32 {
    crate::core::schedule::BLOCKING_SECONDS * 2.0
}
