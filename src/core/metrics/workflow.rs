//! What is counted of one workflow's runs, and of its nodes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::core::tracing::Shape;

use super::failures::Failures;
use super::sampling::Sampler;
use super::sparse::SparseHistogram;

/// Runs of one runtime that are under way.
#[derive(Default)]
pub struct Active {
    now: AtomicU64,
    most: AtomicU64,
}

impl Active {
    #[inline]
    pub fn begin(&self) {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        if now > self.most.load(Ordering::Relaxed) {
            self.most.fetch_max(now, Ordering::Relaxed);
        }
    }

    #[inline]
    pub fn end(&self) {
        self.now.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many there are, and the most that there were at once.
    pub fn seen(&self) -> (u64, u64) {
        let now = self.now.load(Ordering::Relaxed);
        (now, self.most.load(Ordering::Relaxed).max(now))
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    Completed,
    Failed,
    Cancelled,
}

#[derive(Default)]
struct NodeCounts {
    /// Executions in other runs than those that went through with all nodes.
    others: AtomicU64,
    skipped: AtomicU64,
    cached: AtomicU64,
    durations: OnceLock<Box<SparseHistogram>>,
}

/// One node as it was at one moment.
#[derive(Debug, Default)]
pub struct NodeFigures {
    pub id: String,
    pub kind: String,
    /// Executions that ended, successfully or not.
    pub executions: u64,
    pub skipped: u64,
    pub cached: u64,
}

/// The runs of one workflow in a few numbers: without its nodes, and without histograms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkflowTotals {
    /// Runs that have ended, and those of them that failed.
    pub runs: u64,
    pub failed: u64,
    /// How long all of them took together.
    pub duration: Duration,
    /// Failed ones by type of error.
    pub failures: Vec<(String, u64)>,
}

/// Counted by whoever runs the workflow, without a lock.
pub struct WorkflowFigures {
    pub name: String,
    shape: Arc<Shape>,
    /// One for each node of the shape as far as there is room, and one for the others.
    nodes: Box<[NodeCounts]>,
    pub active: Arc<Active>,
    failed: AtomicU64,
    cancelled: AtomicU64,
    delegated: AtomicU64,
    /// Answered with what an earlier run has left: no runs.
    answered: AtomicU64,
    /// Runs that went through with all nodes, each of which ran once, was skipped or cached.
    whole_runs: AtomicU64,
    pub run_seconds: SparseHistogram,
    /// Nodes that were ready and waited for a thread or a place.
    pub queue_wait: Arc<SparseHistogram>,
    /// Threads that had come for nodes and waited for the interpreter's lock.
    pub lock_wait: SparseHistogram,
    pub run_failures: Failures,
    /// By the node's slot.
    pub node_failures: Failures,
    pub sampler: Sampler,
}

fn load(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}

impl WorkflowFigures {
    /// With figures of its own for at most so many nodes.
    pub fn new(name: &str, shape: Arc<Shape>, most_nodes: usize, active: Arc<Active>) -> Self {
        let slots = shape.nodes.len().min(most_nodes) + 1;
        let sampler = Sampler::new(shape.nodes.len());
        Self {
            name: name.into(),
            shape,
            nodes: (0..slots).map(|_| NodeCounts::default()).collect(),
            active,
            failed: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            delegated: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            whole_runs: AtomicU64::new(0),
            run_seconds: SparseHistogram::default(),
            queue_wait: Arc::default(),
            lock_wait: SparseHistogram::default(),
            run_failures: Failures::default(),
            node_failures: Failures::default(),
            sampler,
        }
    }

    pub fn shape(&self) -> &Arc<Shape> {
        &self.shape
    }

    /// Nodes with figures of their own.
    pub fn known_nodes(&self) -> usize {
        self.nodes.len() - 1
    }

    fn slot(&self, node: u32) -> usize {
        (node as usize).min(self.nodes.len() - 1)
    }

    /// A run has ended, after so many nanoseconds.
    #[inline]
    pub fn ran(&self, nanos: u64, end: RunEnd) {
        self.run_seconds.record_nanos(nanos, 1);
        match end {
            // What has neither failed nor been cancelled.
            RunEnd::Completed => self.sampler.observe(nanos),
            RunEnd::Failed => add(&self.failed, 1),
            RunEnd::Cancelled => add(&self.cancelled, 1),
        }
    }

    /// The run that ends now was Kailash's own.
    pub fn was_delegated(&self) {
        add(&self.delegated, 1);
    }

    /// A run was not needed: its results were kept.
    #[inline]
    pub fn was_answered(&self) {
        add(&self.answered, 1);
    }

    /// How often results were handed out that were kept.
    pub fn answered(&self) -> u64 {
        load(&self.answered)
    }

    /// A run went through with all nodes.
    #[inline]
    pub fn went_through(&self) {
        add(&self.whole_runs, 1);
    }

    /// A node was run, skipped or cached in a run that did not go through with all nodes.
    pub fn reached(&self, node: u32) {
        add(&self.nodes[self.slot(node)].others, 1);
    }

    pub fn skipped(&self, node: u32) {
        add(&self.nodes[self.slot(node)].skipped, 1);
    }

    pub fn cached(&self, node: u32) {
        add(&self.nodes[self.slot(node)].cached, 1);
    }

    pub fn node_failed(&self, node: u32, name: &str) {
        self.node_failures.count(self.slot(node) as u32, name, 1);
    }

    /// A node took so long, which stands for `weight` executions.
    pub fn took(&self, node: u32, duration: Duration, weight: u32) {
        self.nodes[self.slot(node)]
            .durations
            .get_or_init(Box::default)
            .record(duration, u64::from(weight));
    }

    /// Completed, failed, cancelled and delegated runs.
    pub fn runs(&self) -> [u64; 4] {
        let [failed, cancelled] = [&self.failed, &self.cancelled].map(load);
        let ended = self.run_seconds.count();
        let completed = ended.saturating_sub(failed + cancelled);
        [completed, failed, cancelled, load(&self.delegated)]
    }

    /// Adds the runs to others' of the same name.
    pub fn add_to(&self, sum: &mut WorkflowTotals) {
        // In this order: whoever ends a failed run counts the run first.
        let failed = load(&self.failed);
        sum.runs += self.run_seconds.count();
        sum.failed += failed;
        sum.duration += self.run_seconds.total();
        if failed == 0 {
            return;
        }
        for (_, name, count) in self.run_failures.all() {
            match sum.failures.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known += count,
                None => sum.failures.push((name, count)),
            }
        }
    }

    /// Whether there is anything to tell.
    pub fn is_empty(&self) -> bool {
        self.runs().iter().sum::<u64>() == 0
            && self.answered() == 0
            && self.whole_runs.load(Ordering::Relaxed) == 0
            && self.nodes.iter().all(|node| load(&node.others) == 0)
    }

    /// Every node by its slot; the last is of those that have none of their own.
    pub fn nodes(&self) -> Vec<NodeFigures> {
        let rest = self.shape.nodes.len() - self.known_nodes();
        let of = |(slot, node): (usize, &NodeCounts)| {
            let (id, kind, times) = match self.shape.nodes.get(slot) {
                Some((id, kind)) if slot < self.known_nodes() => (id.as_str(), kind.as_str(), 1),
                _ => (super::OTHER, "", rest as u64),
            };
            let (skipped, cached) = (load(&node.skipped), load(&node.cached));
            let reached = load(&self.whole_runs) * times + load(&node.others);
            NodeFigures {
                id: id.into(),
                kind: kind.into(),
                executions: reached.saturating_sub(skipped + cached),
                skipped,
                cached,
            }
        };
        self.nodes.iter().enumerate().map(of).collect()
    }

    /// The durations of the node in a slot, if any were measured.
    pub fn node_seconds(&self, slot: usize) -> Option<&SparseHistogram> {
        self.nodes.get(slot)?.durations.get().map(|seen| &**seen)
    }

    /// Adds what was counted of a workflow that is no more. Nodes go to those of the
    /// same id.
    pub fn fold(&self, gone: &Self) {
        let [_, failed, cancelled, delegated] = gone.runs();
        add(&self.failed, failed);
        add(&self.cancelled, cancelled);
        add(&self.delegated, delegated);
        add(&self.answered, gone.answered());
        self.run_seconds.fold(&gone.run_seconds);
        self.queue_wait.fold(&gone.queue_wait);
        self.lock_wait.fold(&gone.lock_wait);
        for (_, name, count) in gone.run_failures.all() {
            self.run_failures.count(0, &name, count);
        }
        let own: HashMap<&str, usize> = self.shape.nodes[..self.known_nodes()]
            .iter()
            .enumerate()
            .map(|(slot, (id, _))| (id.as_str(), slot))
            .collect();
        let place = |id: &str| own.get(id).copied().unwrap_or(self.nodes.len() - 1);
        let nodes = gone.nodes();
        for (slot, figures) in nodes.iter().enumerate() {
            let node = &self.nodes[place(&figures.id)];
            let reached = figures.executions + figures.skipped + figures.cached;
            add(&node.others, reached);
            add(&node.skipped, figures.skipped);
            add(&node.cached, figures.cached);
            if let Some(seconds) = gone.node_seconds(slot) {
                node.durations.get_or_init(Box::default).fold(seconds);
            }
        }
        for (slot, name, count) in gone.node_failures.all() {
            let id = nodes.get(slot as usize).map_or("", |node| node.id.as_str());
            self.node_failures.count(place(id) as u32, &name, count);
        }
    }
}
