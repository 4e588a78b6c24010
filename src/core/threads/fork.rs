//! State that must not survive into a forked child: threads do not, and a lock
//! that one of them held would stay locked for ever.

use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

static GENERATION: AtomicU64 = AtomicU64::new(0);
static REGISTER: Once = Once::new();

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// Grows by one in each forked child.
pub fn generation() -> u64 {
    REGISTER.call_once(|| {
        // SAFETY: the handler only touches an atomic, which is safe in a child
        // of a process with threads.
        unsafe {
            libc::pthread_atfork(None, None, Some(in_child));
        }
    });
    GENERATION.load(Ordering::Relaxed)
}

struct Born<T> {
    generation: u64,
    value: T,
}

/// A lazily made value that a forked child makes afresh.
pub struct ForkLocal<T: 'static> {
    current: AtomicPtr<Born<T>>,
    make: fn() -> T,
}

impl<T: Send + Sync> ForkLocal<T> {
    pub const fn new(make: fn() -> T) -> Self {
        Self {
            current: AtomicPtr::new(std::ptr::null_mut()),
            make,
        }
    }

    pub fn get(&self) -> &'static T {
        let generation = generation();
        let current = self.current.load(Ordering::Acquire);
        // SAFETY: a non-null pointer was leaked from a Box below and is never
        // freed: the parent's value may be in use, or locked, in the child.
        if let Some(born) = unsafe { current.as_ref() }
            && born.generation == generation
        {
            return &born.value;
        }
        let fresh = Box::into_raw(Box::new(Born {
            generation,
            value: (self.make)(),
        }));
        match self
            .current
            .compare_exchange(current, fresh, Ordering::AcqRel, Ordering::Acquire)
        {
            // SAFETY: `fresh` was just leaked and stays for the process's life.
            Ok(_) => unsafe { &(*fresh).value },
            Err(winner) => {
                // SAFETY: `fresh` was never published; `winner` was leaked by
                // the thread that published it.
                unsafe {
                    drop(Box::from_raw(fresh));
                    &(*winner).value
                }
            }
        }
    }
}

/// A value of an object, which a forked child makes afresh: the parent's is neither
/// used nor dropped there.
pub struct PerProcess<T> {
    current: AtomicPtr<Born<T>>,
}

impl<T: Send + Sync> PerProcess<T> {
    pub fn new(value: T) -> Self {
        Self {
            current: AtomicPtr::new(Self::born(value)),
        }
    }

    fn born(value: T) -> *mut Born<T> {
        Box::into_raw(Box::new(Born {
            generation: generation(),
            value,
        }))
    }

    /// The value of this process; `make` gives a forked child its own.
    #[inline]
    pub fn get(&self, make: impl FnOnce() -> T) -> &T {
        let current = self.current.load(Ordering::Acquire);
        // SAFETY: never null; it is freed only by `drop`, which nobody outlives who
        // borrows `self`.
        let born = unsafe { &*current };
        if born.generation == generation() {
            return &born.value;
        }
        self.renew(current, make())
    }

    /// The value, unless it is the parent's.
    pub fn own(&self) -> Option<&T> {
        // SAFETY: as in `get`.
        let born = unsafe { &*self.current.load(Ordering::Acquire) };
        (born.generation == generation()).then_some(&born.value)
    }

    #[cold]
    fn renew(&self, inherited: *mut Born<T>, value: T) -> &T {
        let fresh = Self::born(value);
        let current =
            self.current
                .compare_exchange(inherited, fresh, Ordering::AcqRel, Ordering::Acquire);
        match current {
            // What was inherited stays for the process's life: it may be locked.
            // SAFETY: as in `get`.
            Ok(_) => unsafe { &(*fresh).value },
            Err(winner) => {
                // SAFETY: `fresh` was never published; `winner` as in `get`.
                unsafe {
                    drop(Box::from_raw(fresh));
                    &(*winner).value
                }
            }
        }
    }
}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        let current = *self.current.get_mut();
        // SAFETY: made by `born`, and nobody borrows it any more.
        unsafe {
            if (*current).generation == generation() {
                drop(Box::from_raw(current));
            }
        }
    }
}
