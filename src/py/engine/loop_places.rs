//! The places of nodes that an event loop awaits.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use pyo3::prelude::*;

use crate::core::schedule::{Admission, Applicant, Place};

use super::drive::Execution;
use super::program::Program;

/// Places for nodes that the loop awaits.
pub(super) struct LoopPlaces<P: Program> {
    execution: Weak<Execution<P>>,
    admission: Arc<Admission>,
    /// Places that the run was given and has not used yet.
    held: AtomicUsize,
    is_in_line: AtomicBool,
}

impl<P: Program> LoopPlaces<P> {
    pub(super) fn new(execution: Weak<Execution<P>>, admission: Arc<Admission>) -> Arc<Self> {
        Arc::new(Self {
            execution,
            admission,
            held: AtomicUsize::new(0),
            is_in_line: AtomicBool::new(false),
        })
    }

    pub(super) fn take(self: &Arc<Self>) -> bool {
        let held = self
            .held
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |held| {
                held.checked_sub(1)
            });
        if held.is_ok() {
            return true;
        }
        if self.is_in_line.swap(true, Ordering::SeqCst) {
            return false;
        }
        let applicant: Arc<dyn Applicant> = Arc::clone(self) as _;
        let had = self.admission.take_or_wait(Place::Loop, &applicant);
        if had {
            self.is_in_line.store(false, Ordering::SeqCst);
        }
        had
    }

    pub(super) fn give_back(&self) {
        self.admission.give_back(Place::Loop);
    }

    pub(super) fn give_back_unused(&self) {
        for _ in 0..self.held.swap(0, Ordering::SeqCst) {
            self.give_back();
        }
    }

    pub(super) fn retire(self: &Arc<Self>) {
        let applicant: Arc<dyn Applicant> = Arc::clone(self) as _;
        if self.is_in_line.load(Ordering::SeqCst)
            && self.admission.leave_line(Place::Loop, &applicant)
        {
            self.is_in_line.store(false, Ordering::SeqCst);
        }
        self.give_back_unused();
    }
}

impl<P: Program> Drop for LoopPlaces<P> {
    fn drop(&mut self) {
        self.give_back_unused();
    }
}

impl<P: Program> Applicant for LoopPlaces<P> {
    fn admitted(&self, _place: Place) {
        Python::attach(|py| {
            self.held.fetch_add(1, Ordering::SeqCst);
            self.is_in_line.store(false, Ordering::SeqCst);
            let Some(execution) = self.execution.upgrade() else {
                self.give_back_unused();
                return;
            };
            if execution.run.is_stopped() {
                self.give_back_unused();
                return;
            }
            if let Some(service) = &execution.service {
                service.tell(py);
            }
        });
    }
}
