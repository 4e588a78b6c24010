mod clock;
mod fork;
mod pool;
mod watcher;

use std::time::{Duration, Instant};

/// Waits until `holds` does; panics when it never does.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
