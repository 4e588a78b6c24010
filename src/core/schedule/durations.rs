//! What earlier runs taught about how long each node takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::core::graph::TaskDag;
use crate::core::locks::RwLock;

/// A node that takes at least this long is worth a thread of its own.
pub const BLOCKING_SECONDS: f32 = 0.000_5;

/// Weight of the newest observation in the moving average.
const NEWEST: f32 = 0.5;

/// Durations of a graph's nodes, learned by runs that may overlap.
///
/// Only runs that were handed over measure nodes: in a run that stayed solo
/// every node was too short to matter to the schedule.
pub struct LearnedDurations {
    /// Seconds as `f32` bits; NaN until first observed.
    seconds: Box<[AtomicU32]>,
    has_blocking: AtomicBool,
    priorities: RwLock<Arc<[f32]>>,
}

impl LearnedDurations {
    pub fn new(node_count: usize) -> Self {
        Self {
            seconds: (0..node_count)
                .map(|_| AtomicU32::new(f32::NAN.to_bits()))
                .collect(),
            has_blocking: AtomicBool::new(false),
            priorities: RwLock::new(Arc::from(Vec::new())),
        }
    }

    /// Adds one observation of `node`, in seconds.
    pub fn observe(&self, node: u32, seconds: f32) {
        let slot = &self.seconds[node as usize];
        let known = f32::from_bits(slot.load(Ordering::Relaxed));
        let updated = if known.is_nan() {
            seconds
        } else {
            known + NEWEST * (seconds - known)
        };
        slot.store(updated.to_bits(), Ordering::Relaxed);
    }

    /// The learned duration of `node` in seconds, if it was ever observed.
    pub fn get(&self, node: u32) -> Option<f32> {
        let seconds = f32::from_bits(self.seconds[node as usize].load(Ordering::Relaxed));
        (!seconds.is_nan()).then_some(seconds)
    }

    /// Every node's duration in seconds, unobserved ones as zero.
    pub fn all(&self) -> Vec<f64> {
        (0..self.seconds.len() as u32)
            .map(|node| f64::from(self.get(node).unwrap_or(0.0)))
            .collect()
    }

    pub fn is_blocking(&self, node: u32) -> bool {
        self.get(node)
            .is_some_and(|seconds| seconds >= BLOCKING_SECONDS)
    }

    /// Whether any node is known to hold its thread for long.
    pub fn has_blocking(&self) -> bool {
        self.has_blocking.load(Ordering::Relaxed)
    }

    /// The longest remaining path of every node, in seconds; empty while
    /// nothing has been learned.
    pub fn priorities(&self) -> Arc<[f32]> {
        Arc::clone(&self.priorities.read())
    }

    /// Recomputes priorities from what is known now.
    pub fn refresh(&self, dag: &TaskDag) {
        let blocking = (0..self.seconds.len() as u32).any(|node| self.is_blocking(node));
        self.has_blocking.store(blocking, Ordering::Relaxed);
        if let Ok(remaining) = dag.remaining_path(&self.all()) {
            let priorities: Arc<[f32]> = remaining.iter().map(|&path| path as f32).collect();
            *self.priorities.write() = priorities;
        }
    }
}
