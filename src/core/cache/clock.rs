//! The moment, exactly or at little cost.

use std::time::Instant;

use super::Nanos;

/// Nanoseconds since it was made.
pub struct Clock {
    born: Instant,
    #[cfg(target_os = "linux")]
    born_at: Option<Nanos>,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            born: Instant::now(),
            // After the other, so that what is told roughly is never ahead.
            #[cfg(target_os = "linux")]
            born_at: read(libc::CLOCK_MONOTONIC),
        }
    }
}

impl Clock {
    /// Exactly.
    #[inline]
    pub fn now(&self) -> Nanos {
        self.born.elapsed().as_nanos() as Nanos
    }

    /// As of the system's last tick, mostly a few milliseconds ago, and never ahead. Where
    /// the system has such a clock it costs a fifth.
    #[inline]
    pub fn lately(&self) -> Nanos {
        #[cfg(target_os = "linux")]
        if let (Some(born), Some(tick)) = (self.born_at, read(libc::CLOCK_MONOTONIC_COARSE)) {
            return tick.saturating_sub(born);
        }
        self.now()
    }
}

#[cfg(target_os = "linux")]
#[inline]
fn read(clock: libc::clockid_t) -> Option<Nanos> {
    let mut time = std::mem::MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the time is written to, and read only if the call says that it was.
    let time = unsafe {
        if libc::clock_gettime(clock, time.as_mut_ptr()) != 0 {
            return None;
        }
        time.assume_init()
    };
    let seconds = Nanos::try_from(time.tv_sec).ok()?;
    let nanos = Nanos::try_from(time.tv_nsec).ok()?;
    Some(seconds * 1_000_000_000 + nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_roughly_goes_on_and_is_never_ahead() {
        let clock = Clock::default();
        let mut before = 0;
        for _ in 0..10_000 {
            let lately = clock.lately();
            assert!(before <= lately && lately <= clock.now());
            before = lately;
        }
        while clock.lately() == before {
            std::thread::yield_now();
        }
        assert!(clock.lately() > before);
    }
}
