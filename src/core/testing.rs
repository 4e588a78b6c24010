//! What tests of several modules need.

use std::time::{Duration, Instant};

/// Waits until `holds` does; panics when it never does.
pub fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether `check` holds in a forked child. It ends with `_exit`, whatever
/// happens, and an alarm ends one that hangs.
pub fn holds_in_a_child(check: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child runs `check`, which allocates (the C library keeps its
    // allocator usable in a child) and takes only locks of its own, and then
    // leaves without running what the test process registered for its exit.
    unsafe {
        let child = libc::fork();
        assert!(child >= 0, "the system refuses to fork");
        if child == 0 {
            libc::alarm(20);
            let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check));
            libc::_exit(i32::from(!held.unwrap_or(false)));
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
        libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
    }
}
