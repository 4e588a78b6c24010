//! Locks and atomics, swapped for loom's when the hand-over is model-checked.

#[cfg(not(loom))]
pub use parking_lot::{Condvar, Mutex, MutexGuard};
#[cfg(not(loom))]
pub use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

#[cfg(loom)]
pub use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
#[cfg(loom)]
pub use modelled::{Condvar, Mutex, MutexGuard};

/// loom's lock with parking_lot's face: no poisoning, and a timed wait that
/// loom models as a plain wait.
#[cfg(loom)]
mod modelled {
    use std::time::Duration;

    pub use loom::sync::MutexGuard;

    pub struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub fn lock(&self) -> MutexGuard<'_, T> {
            match self.0.lock() {
                Ok(guard) => guard,
                Err(poisoned) => poisoned.into_inner(),
            }
        }
    }

    pub struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub fn new() -> Self {
            Self(loom::sync::Condvar::new())
        }

        pub fn notify_all(&self) {
            self.0.notify_all();
        }

        pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, _limit: Duration) {
            replace_with(guard, |guard| match self.0.wait(guard) {
                Ok(guard) => guard,
                Err(poisoned) => poisoned.into_inner(),
            });
        }
    }

    /// parking_lot waits on a borrowed guard, loom takes it by value.
    fn replace_with<T>(slot: &mut T, change: impl FnOnce(T) -> T) {
        // SAFETY: the value read out is given back below; loom aborts the
        // model on a panic, so it is never dropped twice.
        unsafe {
            let old = std::ptr::read(slot);
            std::ptr::write(slot, change(old));
        }
    }
}
