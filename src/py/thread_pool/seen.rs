//! Which pool the calling thread works for.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use crate::core::executor::{Executor, Interest, Waits};

use super::host::Pool;

/// Calls made inside one another on one thread, beyond which a worker makes no
/// more of them in place.
const DEPTH: usize = 32;

struct Seat {
    pool: Arc<Executor<Pool>>,
    waits: Arc<Waits>,
}

thread_local! {
    static SEAT: RefCell<Option<Seat>> = const { RefCell::new(None) };
    static NESTED: Cell<usize> = const { Cell::new(0) };
}

/// The calling thread works for `pool` until this is dropped.
pub(super) struct Seated;

impl Seated {
    pub(super) fn new(pool: &Arc<Executor<Pool>>, waits: &Arc<Waits>) -> Self {
        SEAT.set(Some(Seat {
            pool: Arc::clone(pool),
            waits: Arc::clone(waits),
        }));
        Self
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        drop(SEAT.take());
    }
}

/// Whether the calling thread is a worker of `pool`, in this process.
pub(super) fn is_worker_of(pool: &Arc<Executor<Pool>>) -> bool {
    SEAT.with_borrow(|seat| {
        seat.as_ref()
            .is_some_and(|seat| Arc::ptr_eq(&seat.pool, pool))
    })
}

/// The calling thread is about to wait for a pool's task, if it is a worker.
pub(super) fn interest() -> Option<Interest> {
    SEAT.with_borrow(|seat| {
        seat.as_ref()
            .filter(|seat| seat.pool.is_own())
            .map(|seat| seat.pool.interest(&seat.waits))
    })
}

/// One more call inside another, until dropped.
pub(super) struct Nested;

impl Nested {
    /// `None` where there are enough.
    pub(super) fn enter() -> Option<Self> {
        let depth = NESTED.get();
        (depth < DEPTH).then(|| {
            NESTED.set(depth + 1);
            Self
        })
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        NESTED.set(NESTED.get() - 1);
    }
}
