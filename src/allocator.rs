//! Allocation that outlasts Kailash's memory limit.
//!
//! While a code node runs, the process may be bounded in what it can allocate.
//! Python code that reaches the bound gets a `MemoryError`; Rust would abort the
//! process. So whatever Rust itself needs, it gets: the bound is for the node.

use std::alloc::{GlobalAlloc, Layout, System};

pub struct BeyondTheLimit;

/// Asks again, without the soft limit of the address space.
#[cold]
fn again(allocate: impl Fn() -> *mut u8) -> *mut u8 {
    let mut limits = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: a valid place for the result.
    if unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limits) } != 0
        || limits.rlim_cur == limits.rlim_max
    {
        return std::ptr::null_mut();
    }
    let lifted = libc::rlimit {
        rlim_cur: limits.rlim_max,
        ..limits
    };
    // SAFETY: valid limits; put back as they were.
    unsafe {
        libc::setrlimit(libc::RLIMIT_AS, &raw const lifted);
        let place = allocate();
        libc::setrlimit(libc::RLIMIT_AS, &raw const limits);
        place
    }
}

// SAFETY: all memory is the system allocator's, asked for with the same layouts.
unsafe impl GlobalAlloc for BeyondTheLimit {
    // SAFETY: the contract is the trait's, and the system allocator's.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on from the caller.
        let place = unsafe { System.alloc(layout) };
        if place.is_null() {
            // SAFETY: as above.
            return again(|| unsafe { System.alloc(layout) });
        }
        place
    }

    // SAFETY: the contract is the trait's, and the system allocator's.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on from the caller.
        let place = unsafe { System.alloc_zeroed(layout) };
        if place.is_null() {
            // SAFETY: as above.
            return again(|| unsafe { System.alloc_zeroed(layout) });
        }
        place
    }

    // SAFETY: the contract is the trait's, and the system allocator's.
    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: passed on from the caller.
        let place = unsafe { System.realloc(old, layout, size) };
        if place.is_null() {
            // SAFETY: as above; a failed call leaves the old block as it was.
            return again(|| unsafe { System.realloc(old, layout, size) });
        }
        place
    }

    // SAFETY: the contract is the trait's, and the system allocator's.
    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: passed on from the caller.
        unsafe { System.dealloc(place, layout) }
    }
}
