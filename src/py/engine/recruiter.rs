//! Who brings workers to a run that nobody's thread waits for.
//!
//! It holds nothing that needs the interpreter, so that the watcher can ask it
//! too.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use pyo3::prelude::*;

use crate::core::schedule::{Admission, Applicant, Place};
use crate::core::threads::{Job, pool};

use super::drive::Execution;
use super::program::Program;
use super::workers::{Served, serve_one_more};

/// Asks for places and sends a worker for each.
pub(super) struct Recruiter<P: Program> {
    me: Weak<Self>,
    execution: Weak<Execution<P>>,
    pub(super) admission: Arc<Admission>,
    /// Workers that hold a place for the run.
    assigned: AtomicUsize,
    /// Those of them that have not taken a node yet.
    coming: AtomicUsize,
    is_in_line: AtomicBool,
    /// No worker comes any more: the interpreter is at its end.
    is_refused: AtomicBool,
}

impl<P: Program> Recruiter<P> {
    pub(super) fn new(execution: Weak<Execution<P>>, admission: Arc<Admission>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            execution,
            admission,
            assigned: AtomicUsize::new(0),
            coming: AtomicUsize::new(0),
            is_in_line: AtomicBool::new(false),
            is_refused: AtomicBool::new(false),
        })
    }

    fn applicant(&self) -> Option<Arc<dyn Applicant>> {
        let me: Arc<dyn Applicant> = self.me.upgrade()?;
        Some(me)
    }

    /// Brings workers until `wanted` are on their way; those that find no free
    /// place come one by one as places become free.
    pub(super) fn bring(&self, wanted: usize) {
        while self.coming.load(Ordering::SeqCst) < wanted && !self.is_refused() {
            if self.is_in_line.swap(true, Ordering::SeqCst) {
                return;
            }
            let Some(applicant) = self.applicant() else {
                return;
            };
            if !self.admission.take_or_wait(Place::Thread, &applicant) {
                return;
            }
            self.is_in_line.store(false, Ordering::SeqCst);
            self.send();
        }
    }

    fn send(&self) {
        self.assigned.fetch_add(1, Ordering::SeqCst);
        self.coming.fetch_add(1, Ordering::SeqCst);
        let job = Service {
            execution: Weak::clone(&self.execution),
            admission: Arc::clone(&self.admission),
            _served: serve_one_more(),
        };
        if !pool().dispatch(Arc::new(job)) {
            self.is_refused.store(true, Ordering::SeqCst);
            self.arrived();
            self.leaves();
        }
    }

    pub(super) fn is_refused(&self) -> bool {
        self.is_refused.load(Ordering::SeqCst)
    }

    /// A worker has come.
    pub(super) fn arrived(&self) {
        self.coming.fetch_sub(1, Ordering::SeqCst);
    }

    /// A worker leaves: its place goes to whoever has waited longest.
    pub(super) fn leaves(&self) {
        self.assigned.fetch_sub(1, Ordering::SeqCst);
        self.admission.give_back(Place::Thread);
    }

    pub(super) fn has_workers(&self) -> bool {
        self.assigned.load(Ordering::SeqCst) > 0
    }

    /// The run wants no more workers.
    pub(super) fn retire(&self) {
        if let Some(applicant) = self.applicant()
            && self.is_in_line.load(Ordering::SeqCst)
            && self.admission.leave_line(Place::Thread, &applicant)
        {
            self.is_in_line.store(false, Ordering::SeqCst);
        }
    }
}

impl<P: Program> Applicant for Recruiter<P> {
    fn admitted(&self, _place: Place) {
        self.is_in_line.store(false, Ordering::SeqCst);
        self.send();
    }
}

/// One worker's visit to a run, if that still lasts when the worker comes.
struct Service<P: Program> {
    execution: Weak<Execution<P>>,
    admission: Arc<Admission>,
    _served: Served,
}

impl<P: Program> Job for Service<P> {
    fn work(&self) {
        Python::attach(|py| match self.execution.upgrade() {
            Some(execution) => {
                let visit = AssertUnwindSafe(|| execution.serve(py));
                if std::panic::catch_unwind(visit).is_err() {
                    execution.broke_down(py);
                }
            }
            None => self.admission.give_back(Place::Thread),
        });
    }
}
