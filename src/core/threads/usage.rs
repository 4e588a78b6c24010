//! Why a thread took as long as it did: it worked, it waited, or it was not given
//! a processor.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Nobody asks what so little time was spent on.
const NEGLIGIBLE: Duration = Duration::from_micros(100);

/// Nanoseconds in which the whole process stood still for a purpose of its own.
static PAUSED: AtomicU64 = AtomicU64::new(0);

/// The process stood still for so long: a garbage collection, for instance. It is
/// not held against whoever was working then.
pub fn paused(duration: Duration) {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    PAUSED.fetch_add(nanos, Ordering::Relaxed);
}

/// A stretch of work on one thread.
pub struct Stretch {
    began: Instant,
    paused: u64,
    before: Option<Usage>,
}

/// What a stretch was spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    pub elapsed: Duration,
    /// Whether the thread gave its processor up by itself: it slept, or waited for
    /// something or somebody. Not where other threads of the process worked most of
    /// the time: then it may have waited for a lock that they held.
    pub waited: bool,
    /// Whether it, or the process, worked for most of the time. If it did neither, the system had
    /// other things to do.
    pub worked: bool,
}

struct Usage {
    waits: i64,
    worked: Duration,
    process: Duration,
}

impl Usage {
    #[cfg(target_os = "linux")]
    fn of_this_thread() -> Option<Self> {
        // SAFETY: all zeros is a valid value of this plain struct.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: a valid place for the result.
        let status = unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
        let duration = |time: libc::timeval| {
            Duration::from_secs(time.tv_sec.try_into().unwrap_or(0))
                + Duration::from_micros(time.tv_usec.try_into().unwrap_or(0))
        };
        (status == 0).then(|| Self {
            waits: usage.ru_nvcsw,
            worked: duration(usage.ru_utime) + duration(usage.ru_stime),
            process: process_time(),
        })
    }

    #[cfg(not(target_os = "linux"))]
    fn of_this_thread() -> Option<Self> {
        None
    }
}

/// Processor time of all threads of the process.
#[cfg(target_os = "linux")]
fn process_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a valid place for the result; stays zero where there is no such clock.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    Duration::new(
        time.tv_sec.try_into().unwrap_or(0),
        time.tv_nsec.try_into().unwrap_or(0),
    )
}

impl Stretch {
    pub fn begin() -> Self {
        Self {
            before: Usage::of_this_thread(),
            paused: PAUSED.load(Ordering::Relaxed),
            began: Instant::now(),
        }
    }

    pub fn began(&self) -> Instant {
        self.began
    }

    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// What it was spent on until now; the shortest ones count as work. Where the system does not tell, whatever
    /// takes long counts as waiting.
    pub fn spent(&self) -> Spent {
        let paused = PAUSED.load(Ordering::Relaxed).wrapping_sub(self.paused);
        let paused = Duration::from_nanos(paused);
        let elapsed = self.began.elapsed().saturating_sub(paused);
        if elapsed < NEGLIGIBLE {
            return Spent {
                elapsed,
                waited: false,
                worked: true,
            };
        }
        let after = self.before.as_ref().zip(Usage::of_this_thread());
        let (waited, worked) = after.map_or((true, false), |(before, after)| {
            let worked = after.worked.saturating_sub(before.worked);
            let worked = worked.saturating_sub(paused);
            let process = after.process.saturating_sub(before.process);
            let is_busy = process.saturating_sub(paused) * 2 > elapsed;
            (
                after.waits > before.waits && !is_busy,
                worked * 2 > elapsed || is_busy,
            )
        });
        Spent {
            elapsed,
            waited,
            worked,
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn sleeping_is_waiting() {
        let stretch = Stretch::begin();
        std::thread::sleep(Duration::from_millis(30));
        let spent = stretch.spent();
        assert!(spent.waited && !spent.worked, "{spent:?}");
        assert!(spent.elapsed >= Duration::from_millis(30));
    }

    #[test]
    fn sleeping_beside_a_busy_thread_is_not_told_from_waiting_for_it() {
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let busy = {
            let stop = std::sync::Arc::clone(&stop);
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        };
        // Until the other thread is seen to work: a loaded machine may keep it from that.
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut spent;
        loop {
            let stretch = Stretch::begin();
            std::thread::sleep(Duration::from_millis(30));
            spent = stretch.spent();
            if !spent.waited || Instant::now() > deadline {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert!(busy.join().is_ok());
        assert!(!spent.waited && spent.worked, "{spent:?}");
    }

    #[test]
    fn computing_is_not_waiting() {
        let stretch = Stretch::begin();
        let mut sum = 0_u64;
        while stretch.elapsed() < Duration::from_millis(5) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(!stretch.spent().waited);
    }
}
