//! For how long a thread has had a processor.

use std::time::Duration;

/// The processor time of the calling thread; `None` where the system does not tell.
#[must_use]
pub fn thread_time() -> Option<Duration> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a valid place for the result.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    let nanos = u32::try_from(time.tv_nsec).ok()?;
    (status == 0).then(|| Duration::new(time.tv_sec.unsigned_abs(), nanos))
}
