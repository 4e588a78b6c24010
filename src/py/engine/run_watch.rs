//! What the watcher does for a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::core::schedule::Run;
use crate::core::threads::Watched;

/// What the watcher holds of a run: nothing that needs the interpreter.
pub(super) struct RunWatch {
    run: Arc<Run>,
    ticked: Arc<AtomicBool>,
    last_seen: AtomicU64,
    may_hand_over: bool,
    /// Brings as many workers to the run.
    bring: Box<dyn Fn(usize) + Send + Sync>,
}

impl RunWatch {
    pub(super) fn new(
        run: Arc<Run>,
        ticked: Arc<AtomicBool>,
        may_hand_over: bool,
        bring: Box<dyn Fn(usize) + Send + Sync>,
    ) -> Self {
        Self {
            run,
            ticked,
            last_seen: AtomicU64::new(0),
            may_hand_over,
            bring,
        }
    }
}

impl Watched for RunWatch {
    fn tick(&self) {
        self.ticked.store(true, Ordering::Relaxed);
        if !self.may_hand_over {
            return;
        }
        if let Some(position) = self.run.solo_position() {
            // The same node as a tick ago: the caller is stuck in it.
            let seen = u64::from(position) + 1;
            if self.last_seen.swap(seen, Ordering::Relaxed) != seen {
                return;
            }
            self.run.hand_over();
        }
        let (backlog, takes) = self.run.backlog();
        let marker = (1 << 40) | takes;
        let moved = self.last_seen.swap(marker, Ordering::Relaxed) != marker;
        if backlog > 0 && (!moved || takes == 0) {
            (self.bring)(backlog);
        }
    }
}
