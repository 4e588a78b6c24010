//! A run's two phases and the hand-over between them.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::core::graph::TaskDag;
use crate::core::metrics::SparseHistogram;
use crate::core::sync::{AtomicBool, AtomicU64, Condvar, Mutex, Ordering};

use super::durations::LearnedDurations;
use super::shared::{Outcome, Rank, Shared, Take};

/// Set in `stage` once the run has been handed over; the rest is the position
/// of the node that the caller runs.
const SHARED: u64 = 1 << 63;

/// Who asks for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taker {
    /// The thread that called `run`; it alone runs pinned nodes.
    Caller,
    Worker,
}

/// Whether the caller is still alone with its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    Solo,
    HandedOver,
}

/// How a run stands, seen at one moment, once handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// Nodes that any thread may start now.
    pub ready: usize,
    /// Those of them that are known to block.
    pub blocking: usize,
    /// Nodes that the caller may start now.
    pub pinned: usize,
    /// Nodes that have started and not ended.
    pub running: usize,
    /// Nothing will start, and nothing that runs can change the outcome.
    pub settled: bool,
}

pub struct RunSettings {
    /// Nodes that may run at the same time, at least one.
    pub limit: usize,
    /// Nodes that must run on the calling thread, by position; empty for none.
    pub pinned: Arc<[bool]>,
    /// Learned durations, shared by all runs of the graph.
    pub durations: Arc<LearnedDurations>,
}

pub struct Run {
    dag: Arc<TaskDag>,
    settings: RunSettings,
    priorities: Arc<[f32]>,
    stage: AtomicU64,
    stopped: AtomicBool,
    shared: Mutex<Shared>,
    changed: Condvar,
    /// How long ready nodes wait until somebody takes them.
    queue_wait: OnceLock<Arc<SparseHistogram>>,
}

impl Run {
    /// A run that starts solo. The nodes of `dag` must be numbered by a
    /// topological order.
    pub fn new(dag: Arc<TaskDag>, settings: RunSettings) -> Self {
        debug_assert!(dag.is_index_order_topological());
        let node_count = dag.node_count();
        let priorities = if settings.limit == 1 {
            // One at a time means in topological order.
            Arc::from([])
        } else {
            settings.durations.priorities()
        };
        Self {
            dag,
            settings,
            priorities,
            stage: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            shared: Mutex::new(Shared::new(node_count)),
            changed: Condvar::new(),
            queue_wait: OnceLock::new(),
        }
    }

    /// Ready nodes start in topological order, whatever was learned of them.
    #[must_use]
    pub fn in_topological_order(mut self) -> Self {
        self.priorities = Arc::from([]);
        self
    }

    fn rank(&self) -> impl Fn(u32) -> Rank + '_ {
        |node| Rank {
            priority: self.priorities.get(node as usize).copied().unwrap_or(0.0),
            pinned: self.is_pinned(node),
            blocking: self.settings.durations.is_blocking(node),
        }
    }

    pub fn dag(&self) -> &TaskDag {
        &self.dag
    }

    pub fn limit(&self) -> usize {
        self.settings.limit
    }

    /// The caller finished the node at `position` while solo.
    #[inline]
    pub fn advance(&self, position: u32) -> Advance {
        let here = u64::from(position);
        match self
            .stage
            .compare_exchange(here, here + 1, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => Advance::Solo,
            Err(_) => Advance::HandedOver,
        }
    }

    /// The caller ends its run while solo, because the node at `position`
    /// failed or nothing may start any more. From then on nothing is handed
    /// over; if it already was, the caller goes on as one thread of many.
    pub fn close_solo(&self, position: u32) -> Advance {
        match self.stage.compare_exchange(
            u64::from(position),
            SHARED | u64::from(position),
            Ordering::AcqRel,
            Ordering::Acquire,
        ) {
            Ok(_) => Advance::Solo,
            Err(_) => Advance::HandedOver,
        }
    }

    /// Whether somebody asked the run to stop; looked at between solo nodes.
    #[inline]
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// The position of the caller while solo; `None` once handed over.
    pub fn solo_position(&self) -> Option<u32> {
        let stage = self.stage.load(Ordering::Acquire);
        (stage & SHARED == 0).then_some(stage as u32)
    }

    /// Hands the run over while the caller is inside the node at its position,
    /// or about to start it: a caller that then does not, because it was
    /// stopped for instance, only has to ask for work. Called by any other
    /// thread; does nothing the second time.
    pub fn hand_over(&self) {
        self.hand_over_from(true);
    }

    /// The caller itself hands over before it starts the node at its position.
    pub fn hand_over_at_rest(&self) {
        self.hand_over_from(false);
    }

    fn hand_over_from(&self, caller_is_inside_node: bool) {
        // The lock comes first: a caller that finds its run handed over waits
        // here until the queue has been built.
        let mut shared = self.shared.lock();
        let stage = self.stage.fetch_or(SHARED, Ordering::AcqRel);
        if stage & SHARED != 0 {
            if !caller_is_inside_node {
                shared.caller_is_at_rest(&self.rank());
            }
            return;
        }
        let cursor = stage as u32;
        let inside = caller_is_inside_node && (cursor as usize) < self.dag.node_count();
        if self.queue_wait.get().is_some() {
            shared.measure();
        }
        shared.build(&self.dag, cursor, inside, &self.rank());
        if self.is_stopped() {
            shared.stop_from(0);
        }
    }

    /// The next node to run, once handed over.
    pub fn take(&self, taker: Taker) -> Take {
        let is_caller = taker == Taker::Caller;
        let mut shared = self.shared.lock();
        if is_caller {
            shared.caller_is_at_rest(&self.rank());
        }
        let take = shared.take(is_caller, self.settings.limit);
        if let (Take::Node(node), Some(waits)) = (take, self.queue_wait.get()) {
            let since = shared.ready_since(node);
            drop(shared);
            note_wait(waits, since);
        }
        take
    }

    /// Has it measured from now on how long ready nodes wait once the run is handed
    /// over. Only the first time, and before that.
    pub fn measure_queue(&self, waits: Arc<SparseHistogram>) {
        let _only_once = self.queue_wait.set(waits);
    }

    /// The first node has waited so long for somebody to come.
    pub fn waited(&self, duration: Duration) {
        if let Some(waits) = self.queue_wait.get() {
            waits.record(duration, 1);
        }
    }

    /// All pinned nodes that are ready, for a caller that runs them together.
    pub fn take_pinned(&self) -> Vec<u32> {
        let mut shared = self.shared.lock();
        let nodes = shared.take_pinned(self.settings.limit);
        if let Some(waits) = self.queue_wait.get() {
            let since: Vec<_> = nodes.iter().map(|&node| shared.ready_since(node)).collect();
            drop(shared);
            for since in since {
                note_wait(waits, since);
            }
        }
        nodes
    }

    pub fn is_pinned(&self, node: u32) -> bool {
        let pinned = self.settings.pinned.get(node as usize);
        pinned.copied().unwrap_or(false)
    }

    /// Reports a node that was taken, or that was running at the hand-over.
    /// Returns how many ready nodes are known to block and so deserve threads.
    pub fn finish(&self, node: u32, outcome: Outcome, seconds: f32) -> usize {
        self.settings.durations.observe(node, seconds);
        let mut shared = self.shared.lock();
        shared.finish(&self.dag, node, outcome, &self.rank());
        let wanted = self.blocking_ready(&shared);
        drop(shared);
        self.changed.notify_all();
        wanted
    }

    fn blocking_ready(&self, shared: &Shared) -> usize {
        if !self.settings.durations.has_blocking() {
            return 0;
        }
        shared.ready_blocking().min(self.room(shared))
    }

    /// How many nodes may start now beside those that run.
    fn room(&self, shared: &Shared) -> usize {
        if shared.is_paused() {
            0
        } else {
            self.settings.limit.saturating_sub(shared.running())
        }
    }

    fn see(&self, shared: &Shared) -> Outlook {
        let room = self.room(shared);
        // One at a time means in order.
        let (for_workers, for_caller) = match (self.settings.limit, shared.next_is_pinned()) {
            (1, true) => (0, room),
            (1, false) => (room, 0),
            _ => (room, room),
        };
        Outlook {
            ready: shared.ready_for_workers().min(for_workers),
            blocking: shared.ready_blocking().min(for_workers),
            pinned: shared.ready_pinned().min(for_caller),
            running: shared.running(),
            settled: shared.is_settled(),
        }
    }

    pub fn outlook(&self) -> Outlook {
        self.see(&self.shared.lock())
    }

    /// `finish`, for a run that nobody's thread waits for.
    pub fn finish_and_look(&self, node: u32, outcome: Outcome, seconds: f32) -> Outlook {
        self.settings.durations.observe(node, seconds);
        let mut shared = self.shared.lock();
        shared.finish(&self.dag, node, outcome, &self.rank());
        self.see(&shared)
    }

    /// A node that was taken, and that waited without a thread, may be taken again.
    pub fn put_back(&self, node: u32) {
        let mut shared = self.shared.lock();
        shared.put_back(node, &self.rank());
        drop(shared);
        self.changed.notify_all();
    }

    /// One ready node of the caller's own.
    pub fn take_one_pinned(&self) -> Option<u32> {
        let mut shared = self.shared.lock();
        let node = shared.take_one_pinned(self.settings.limit)?;
        if let Some(waits) = self.queue_wait.get() {
            let since = shared.ready_since(node);
            drop(shared);
            note_wait(waits, since);
        }
        Some(node)
    }

    /// Lets nothing start, or lets it go on. What runs is not held up.
    pub fn set_paused(&self, paused: bool) {
        self.shared.lock().set_paused(paused);
        self.changed.notify_all();
    }

    /// Ready nodes known to block, for the start of a handed-over run.
    pub fn blocking_ready_now(&self) -> usize {
        self.blocking_ready(&self.shared.lock())
    }

    /// Ready nodes that idle threads could take, and the count of nodes taken
    /// so far.
    pub fn backlog(&self) -> (usize, u64) {
        let shared = self.shared.lock();
        let room = self.room(&shared);
        (shared.ready_for_workers().min(room), shared.takes)
    }

    /// No node starts from now on.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.shared.lock().stop_from(0);
        self.changed.notify_all();
    }

    /// What is left for a caller that leaves all nodes to workers.
    pub fn progress(&self) -> Take {
        let mut shared = self.shared.lock();
        shared.caller_is_at_rest(&self.rank());
        if shared.is_finished() {
            Take::Finished
        } else {
            Take::Wait
        }
    }

    /// Waits, at most `limit`, until the run changes. With `for_work`, returns
    /// at once when the caller could run a node.
    pub fn wait(&self, for_work: bool, limit: Duration) {
        let shared = self.shared.lock();
        let done =
            shared.is_finished() || (for_work && shared.has_work_for_caller(self.settings.limit));
        if !done {
            drop(self.changed.wait_for(shared, limit));
        }
    }

    pub fn durations(&self) -> &LearnedDurations {
        &self.settings.durations
    }
}

fn note_wait(waits: &SparseHistogram, since: Option<Instant>) {
    if let Some(since) = since {
        waits.record(since.elapsed(), 1);
    }
}
