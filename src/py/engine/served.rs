//! Runs that nobody's thread waits for: workers run their nodes, and an event
//! loop is told when it has something to do.
//!
//! One worker begins, alone with the run as a caller would be. Others come when
//! nodes block, as far as the places that all runs of a runtime share allow.
//! Whoever has worked for a while lets others have its place.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::core::schedule::{Admission, Advance, Outcome, Outlook, Place, Take};

use crate::core::threads::Stretch;

use super::context::RunContext;
use super::drive::{Execution, StopReason, stuck_seconds};
use super::lock_wait::{detached, uncounted_wait};
use super::loop_places::LoopPlaces;
use super::mailbox::LoopMailbox;
use super::program::Program;
use super::recruiter::Recruiter;
use super::sites::{Site, Step};

/// How long a worker keeps its place while others wait for one.
const QUANTUM: f32 = 0.001;

/// How long the loop's own thread may be kept by a run that was thought short.
const INLINE_LIMIT: Duration = Duration::from_micros(500);

/// On what terms a run is served.
pub(crate) struct ServiceTerms {
    pub(crate) admission: Arc<Admission>,
    /// Whether what a node sets in a context variable, later nodes see.
    pub(crate) shares_context: bool,
}

pub(crate) struct Service<P: Program> {
    recruiter: Arc<Recruiter<P>>,
    loop_places: Arc<LoopPlaces<P>>,
    /// The loop's mailbox, and what is called there when the run is settled or
    /// nodes wait for the loop. Unset in a run that no worker has to do with.
    listener: OnceLock<(Py<LoopMailbox>, Py<PyAny>)>,
    shares_context: bool,
    /// When it was left to workers.
    begun: OnceLock<Instant>,
    /// The loop has been told, and has not looked yet.
    is_told: AtomicBool,
}

impl<P: Program> Service<P> {
    pub(super) fn new(terms: ServiceTerms, execution: &Weak<Execution<P>>) -> Self {
        Self {
            recruiter: Recruiter::new(Weak::clone(execution), Arc::clone(&terms.admission)),
            loop_places: LoopPlaces::new(Weak::clone(execution), terms.admission),
            listener: OnceLock::new(),
            shares_context: terms.shares_context,
            begun: OnceLock::new(),
            is_told: AtomicBool::new(false),
        }
    }

    pub(super) fn tell(&self, py: Python<'_>) {
        if let Some((mailbox, callback)) = self.listener.get()
            && !self.is_told.swap(true, Ordering::SeqCst)
            && let Err(error) = LoopMailbox::post(mailbox.bind(py), callback.clone_ref(py))
        {
            self.is_told.store(false, Ordering::SeqCst);
            error.write_unraisable(py, None);
        }
    }
}

/// How a run on the loop's own thread ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inline {
    /// All nodes ran.
    Finished,
    /// A node failed.
    Failed,
    /// The rest is for workers, or all of it: no place was free, or a node took
    /// longer than expected.
    Rest,
}

impl<P: Program> Execution<P> {
    /// Runs nodes on the calling thread, an event loop's, for as long as that
    /// keeps nobody waiting.
    pub(crate) fn run_inline(&self, py: Python<'_>) -> PyResult<Inline> {
        let Some(service) = &self.service else {
            return Ok(Inline::Rest);
        };
        // To errors of nodes here, what is being handled would be their context.
        if RunContext::is_handling(py) || !service.recruiter.admission.try_take(Place::Loop) {
            return Ok(Inline::Rest);
        }
        let ended = self.context.enter(py).map(|entered| {
            let began = self.program.begin_stretch(py);
            let ended = self.inline_nodes(py);
            if began {
                self.program.end_stretch(py);
            }
            drop(entered);
            ended
        });
        service.loop_places.give_back();
        ended
    }

    fn inline_nodes(&self, py: Python<'_>) -> Inline {
        let node_count = self.run.dag().node_count() as u32;
        let stretch = Stretch::begin();
        let began = stretch.began();
        let mut elapsed = Duration::ZERO;
        for node in 0..node_count {
            if elapsed > INLINE_LIMIT {
                self.program.ran_alone(stretch.spent());
                self.program.is_shared(&self.run);
                self.run.hand_over_at_rest();
                return Inline::Rest;
            }
            let result = self.program.execute(py, node, Site::Loop);
            let ended = stretch.elapsed();
            if matches!(result, Ok(Step::Declined)) {
                self.program.ran_alone(stretch.spent());
                self.program.is_shared(&self.run);
                self.run.hand_over_at_rest();
                return Inline::Rest;
            }
            if let Some(trace) = &self.trace {
                trace.record(py, node, began + elapsed, began + ended);
            }
            elapsed = ended;
            if let Err(error) = result {
                self.program.ran_alone(stretch.spent());
                self.fail(py, node, error);
                self.run.close_solo(node);
                return Inline::Failed;
            }
            self.run.advance(node);
        }
        self.program.ran_alone(stretch.spent());
        Inline::Finished
    }

    /// Has the run served from now on. Called once, on the loop.
    pub(crate) fn begin_service(
        &self,
        py: Python<'_>,
        mailbox: Py<LoopMailbox>,
        callback: Py<PyAny>,
    ) {
        if let Some(service) = &self.service {
            let _only_once = service.listener.set((mailbox, callback));
            let _only_once = service.begun.set(Instant::now());
        }
        self.program.is_shared(&self.run);
        let needs_loop = self.has_pinned || self.program.confirms();
        // Alone, whoever begins would take the first node, whatever waits behind the others.
        let has_blocking = self.width() > 1 && self.run.durations().has_blocking();
        if (needs_loop || has_blocking) && self.run.solo_position().is_some() {
            self.run.hand_over_at_rest();
        }
        self.look_after(py, true);
    }

    /// Whether the outcome is certain.
    pub(crate) fn is_settled(&self) -> bool {
        if self.abandoned.load(Ordering::Acquire) {
            return true;
        }
        if let Some(position) = self.run.solo_position() {
            position as usize >= self.run.dag().node_count()
                || self.is_refused()
                || (self.run.is_stopped() && !self.has_workers())
        } else {
            let outlook = self.run.outlook();
            // What has run beside a failure is confirmed before it is told.
            let is_over = outlook.settled && (!self.program.confirms() || outlook.running == 0);
            is_over || self.is_refused()
        }
    }

    fn has_workers(&self) -> bool {
        let service = self.service.as_ref();
        service.is_some_and(|service| service.recruiter.has_workers())
    }

    /// Whether no worker comes any more, because the interpreter is at its end.
    pub(crate) fn is_refused(&self) -> bool {
        let service = self.service.as_ref();
        service.is_some_and(|service| service.recruiter.is_refused())
    }

    /// The run is over: it stands in no line any more, and the next one knows what it has taught.
    pub(crate) fn retire(&self) {
        if self.run.solo_position().is_none() {
            self.run.durations().refresh(self.run.dag());
        }
        if let Some(service) = &self.service {
            service.recruiter.retire();
            service.loop_places.retire();
        }
    }

    /// Whether no node is running.
    pub(crate) fn is_idle(&self) -> bool {
        match self.run.solo_position() {
            // A worker may be inside any node but those that are done.
            Some(position) => {
                position as usize >= self.run.dag().node_count() || !self.has_workers()
            }
            None => self.run.outlook().running == 0,
        }
    }

    /// What the loop has to do: nodes that it awaits now, each with a place.
    pub(crate) fn take_for_loop(&self) -> Vec<u32> {
        let mut nodes = Vec::new();
        let Some(service) = &self.service else {
            return nodes;
        };
        service.is_told.store(false, Ordering::SeqCst);
        if self.run.solo_position().is_some() {
            return nodes;
        }
        while self.run.outlook().pinned > 0 && service.loop_places.take() {
            match self.run.take_one_pinned() {
                Some(node) => nodes.push(node),
                None => service.loop_places.give_back(),
            }
        }
        // Whatever was granted and cannot be used now, others can.
        service.loop_places.give_back_unused();
        nodes
    }

    /// Who is called on the loop.
    pub(crate) fn traverse_listener(
        &self,
        visit: &pyo3::PyVisit<'_>,
    ) -> Result<(), pyo3::PyTraverseError> {
        let listener = self
            .service
            .as_ref()
            .and_then(|service| service.listener.get());
        if let Some((mailbox, callback)) = listener {
            visit.call(mailbox)?;
            visit.call(callback)?;
        }
        Ok(())
    }

    /// The loop has awaited a node.
    pub(crate) fn leave_loop_place(&self) {
        if let Some(service) = &self.service {
            service.loop_places.give_back();
        }
    }

    /// Nothing starts any more; whoever stands in line for a place leaves it.
    pub(crate) fn abandon_service(&self, reason: StopReason) {
        self.stop(reason);
        self.retire();
    }

    /// Lets no node start, or lets the run go on.
    pub(crate) fn set_paused(&self, py: Python<'_>, paused: bool) {
        self.run.set_paused(paused);
        if !paused {
            self.look_after(py, false);
        }
    }

    /// Sees to it that whoever can run something does. `on_loop` says that the
    /// loop looks for itself afterwards.
    pub(super) fn look_after(&self, py: Python<'_>, on_loop: bool) {
        let Some(service) = &self.service else {
            return;
        };
        if let Some(position) = self.run.solo_position() {
            if (position as usize) < self.run.dag().node_count() && !self.run.is_stopped() {
                // One alone, until the run is handed over.
                if !service.recruiter.has_workers() {
                    service.recruiter.bring(1);
                }
            } else if !on_loop {
                service.tell(py);
            }
            return;
        }
        self.act_on(py, service, self.run.outlook(), on_loop, 0);
    }

    /// `taken` ready nodes the calling worker runs itself.
    fn act_on(
        &self,
        py: Python<'_>,
        service: &Service<P>,
        outlook: Outlook,
        on_loop: bool,
        taken: usize,
    ) {
        let is_over = outlook.settled || self.abandoned.load(Ordering::Acquire);
        if !on_loop && (is_over || outlook.pinned > 0) {
            service.tell(py);
        }
        if outlook.blocking > 0 {
            service
                .recruiter
                .bring(outlook.blocking.saturating_sub(taken));
        } else if outlook.ready > 0 && !service.recruiter.has_workers() {
            service.recruiter.bring(1);
        }
    }

    /// One worker's visit.
    pub(super) fn serve(&self, py: Python<'_>) {
        let Some(service) = &self.service else {
            return;
        };
        service.recruiter.arrived();
        if let Some(waited) = uncounted_wait() {
            self.program.came(waited);
        }
        // Before the watcher looks: what it hands over from then on, it takes to be
        // inside a node of this worker's.
        let is_alone = self.run.solo_position().is_some();
        if is_alone && let Some(begun) = service.begun.get() {
            self.run.waited(begun.elapsed());
        }
        let parallel = self.width() > 1;
        self.watching.lock().get_or_insert_with(|| {
            let recruiter = Arc::clone(&service.recruiter);
            self.watch_and(parallel, move |workers| recruiter.bring(workers))
        });
        let began = self.program.begin_stretch(py);
        let goes_on = !is_alone || self.serve_alone(py);
        if goes_on {
            self.serve_together(py, service);
        }
        if began {
            self.program.end_stretch(py);
        }
        if self.is_forked() {
            // The run, and everybody who waits for it, belong to the parent.
            return;
        }
        service.recruiter.leaves();
        let watching = {
            let mut watching = self.watching.lock();
            let is_last = !service.recruiter.has_workers();
            is_last.then(|| watching.take()).flatten()
        };
        drop(watching);
        self.look_after(py, false);
    }

    /// A visit ended in a panic: the run fails, and nobody waits for it for ever.
    pub(super) fn broke_down(&self, py: Python<'_>) {
        let Some(service) = &self.service else {
            return;
        };
        let error = pyo3::exceptions::PyRuntimeError::new_err(
            "the engine broke down while it ran this workflow; please report it with what was logged",
        );
        self.fail(py, 0, error);
        self.abandoned.store(true, Ordering::Release);
        self.run.stop();
        service.recruiter.leaves();
        drop(self.watching.lock().take());
        service.tell(py);
    }

    /// Nodes in order, while this worker is alone with the run. Whether there is
    /// more to do, together with others.
    fn serve_alone(&self, py: Python<'_>) -> bool {
        let entered = match self.context.enter(py) {
            Ok(entered) => entered,
            Err(error) => {
                let position = self.run.solo_position().unwrap_or(0);
                self.fail(py, position, error);
                if self.run.close_solo(position) == Advance::HandedOver {
                    self.run.hand_over_at_rest();
                    self.run.stop();
                }
                return false;
            }
        };
        let goes_on = self.nodes_alone(py);
        drop(entered);
        goes_on
    }

    fn nodes_alone(&self, py: Python<'_>) -> bool {
        let node_count = self.run.dag().node_count() as u32;
        let stretch = Stretch::begin();
        let Some(mut node) = self.run.solo_position() else {
            // Handed over before anything has started.
            self.run.hand_over_at_rest();
            return true;
        };
        while node < node_count {
            if self.run.is_stopped() {
                if self.run.close_solo(node) == Advance::HandedOver {
                    self.run.hand_over_at_rest();
                }
                return false;
            }
            if self.ticked.load(Ordering::Relaxed) {
                self.ticked.store(false, Ordering::Relaxed);
                self.program.between_nodes(py);
                if self.is_wanted_elsewhere() {
                    self.program.ran_alone(stretch.spent());
                    self.run.hand_over_at_rest();
                    return false;
                }
                let_others_in(py);
            }
            let start = self.trace.as_ref().map(|_| Instant::now());
            let result = self.program.execute(py, node, Site::Alone);
            if matches!(result, Ok(Step::Declined)) {
                self.program.ran_alone(stretch.spent());
                self.run.hand_over_at_rest();
                return true;
            }
            if let (Some(trace), Some(start)) = (&self.trace, start) {
                trace.record(py, node, start, Instant::now());
            }
            if self.is_forked() {
                // The run belongs to the parent process.
                return false;
            }
            let (advance, outcome) = match result {
                Ok(_) => (self.run.advance(node), Outcome::Done),
                Err(error) => {
                    self.fail(py, node, error);
                    (self.run.close_solo(node), Outcome::Failed)
                }
            };
            if advance == Advance::HandedOver {
                self.program.ran_alone(stretch.spent());
                self.run.finish(node, outcome, stuck_seconds());
                return true;
            }
            if outcome == Outcome::Failed {
                self.program.ran_alone(stretch.spent());
                return false;
            }
            node += 1;
        }
        self.program.ran_alone(stretch.spent());
        false
    }

    /// Ready nodes, until there is none or others are to have this worker's place.
    fn serve_together(&self, py: Python<'_>, service: &Service<P>) {
        let mut held = 0.0;
        while let Take::Node(node) = self.take_unless_cancelled(py) {
            // This node may block; those that are ready do not wait for it.
            let blocking = self.run.outlook().blocking;
            if blocking > 0 {
                service.recruiter.bring(blocking);
            }
            let ran = if service.shares_context {
                self.context
                    .run_copied(py, || self.execute_shared(py, node, Site::Together))
            } else {
                self.context
                    .run_apart(py, || self.execute_shared(py, node, Site::Together))
            };
            let (outcome, seconds) = ran.unwrap_or_else(|error| {
                self.fail(py, node, error);
                (Some(Outcome::Failed), 0.0)
            });
            if self.is_forked() {
                return;
            }
            // One that is parked is another thread's by now.
            if let Some(outcome) = outcome {
                self.ended_on_worker(py, service, node, outcome, seconds);
            }
            held += seconds;
            if held >= QUANTUM {
                if self.is_wanted_elsewhere() {
                    return;
                }
                held = 0.0;
                let_others_in(py);
            }
        }
    }

    /// A node has ended that this worker took.
    fn ended_on_worker(
        &self,
        py: Python<'_>,
        service: &Service<P>,
        node: u32,
        outcome: Outcome,
        seconds: f32,
    ) {
        if self.program.is_unconfirmed(node) {
            service.tell(py);
        } else {
            let outlook = self.run.finish_and_look(node, outcome, seconds);
            self.act_on(py, service, outlook, false, 1);
        }
    }

    /// Whether other runs wait for a place.
    fn is_wanted_elsewhere(&self) -> bool {
        self.service
            .as_ref()
            .is_some_and(|service| service.recruiter.admission.is_contended())
    }
}

/// Gives a thread that waits for the interpreter, the loop's for instance, the
/// chance to have it now rather than when the interpreter's switch interval ends.
fn let_others_in(py: Python<'_>) {
    detached(py, std::thread::yield_now);
}
