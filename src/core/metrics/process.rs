//! What the process uses of the machine.

use std::time::Duration;

/// The process at one moment; `None` for what this system does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// Processor time of all threads.
    pub user: Option<Duration>,
    pub system: Option<Duration>,
    /// Bytes of memory that are resident now, and the most that ever were.
    pub resident: Option<u64>,
    pub most_resident: Option<u64>,
    /// Bytes of address space.
    pub addressed: Option<u64>,
    pub threads: Option<u64>,
    pub open_files: Option<u64>,
    /// Seconds since it was started.
    pub age: Option<f64>,
    /// Processors that it may run on.
    pub processors: Option<u64>,
}

#[cfg(unix)]
fn usage() -> Option<libc::rusage> {
    // SAFETY: all zeros is a valid value of this plain struct.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: a valid place for the result.
    let status = unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    (status == 0).then_some(usage)
}

#[cfg(unix)]
fn duration(time: libc::timeval) -> Duration {
    Duration::from_secs(time.tv_sec.try_into().unwrap_or(0))
        + Duration::from_micros(time.tv_usec.try_into().unwrap_or(0))
}

/// This process now.
pub fn process() -> Process {
    #[allow(unused_mut)]
    let mut seen = Process {
        processors: std::thread::available_parallelism()
            .ok()
            .map(|count| count.get() as u64),
        ..Process::default()
    };
    #[cfg(unix)]
    if let Some(usage) = usage() {
        seen.user = Some(duration(usage.ru_utime));
        seen.system = Some(duration(usage.ru_stime));
        // Kilobytes, but on macOS.
        let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
        seen.most_resident = u64::try_from(usage.ru_maxrss).ok().map(|size| size * unit);
    }
    #[cfg(target_os = "linux")]
    linux::complete(&mut seen);
    seen
}

#[cfg(target_os = "linux")]
mod linux {
    use super::Process;

    /// What only `/proc` tells.
    pub(super) fn complete(seen: &mut Process) {
        seen.processors = affinity().or(seen.processors);
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            // One of them is the folder itself.
            seen.open_files = Some((files.count() as u64).saturating_sub(1));
        }
        if let Ok(text) = std::fs::read_to_string("/proc/self/stat") {
            read(seen, &text);
        }
    }

    fn setting(name: libc::c_int) -> Option<u64> {
        // SAFETY: takes a number and returns one.
        let value = unsafe { libc::sysconf(name) };
        u64::try_from(value).ok().filter(|&value| value > 0)
    }

    fn affinity() -> Option<u64> {
        // SAFETY: all zeros is a valid, empty set.
        let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: a valid place of the size that is told.
        let status = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) };
        // SAFETY: a valid set.
        let count = unsafe { libc::CPU_COUNT(&set) };
        u64::try_from(count)
            .ok()
            .filter(|&count| status == 0 && count > 0)
    }

    pub(super) fn read(seen: &mut Process, text: &str) {
        // The name in parentheses may hold anything.
        let Some((_, rest)) = text.rsplit_once(')') else {
            return;
        };
        // From the third field of proc(5) on.
        let field = |number: usize| -> Option<u64> {
            rest.split_whitespace().nth(number - 3)?.parse().ok()
        };
        seen.threads = field(20);
        seen.addressed = field(23);
        seen.resident = setting(libc::_SC_PAGESIZE).and_then(|page| Some(field(24)? * page));
        seen.age = started_ago(field(22));
    }

    fn started_ago(ticks: Option<u64>) -> Option<f64> {
        let since_boot = std::fs::read_to_string("/proc/uptime").ok()?;
        let since_boot: f64 = since_boot.split_whitespace().next()?.parse().ok()?;
        let started = ticks? as f64 / setting(libc::_SC_CLK_TCK)? as f64;
        Some((since_boot - started).max(0.0))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn everything_is_known_of_this_process() {
        let seen = process();
        let numbers = [
            seen.resident,
            seen.most_resident,
            seen.addressed,
            seen.threads,
            seen.open_files,
            seen.processors,
        ];
        assert!(
            numbers.iter().all(|number| number.is_some_and(|n| n > 0)),
            "{seen:?}"
        );
        assert!(seen.resident <= seen.addressed);
        assert!(seen.age.is_some_and(|age| age < 86_400.0), "{seen:?}");
    }

    #[test]
    fn a_name_with_parentheses_and_spaces_is_no_field() {
        let mut seen = Process::default();
        let fields: Vec<String> = (4..=52).map(|number| number.to_string()).collect();
        linux::read(&mut seen, &format!("1 (a) b (c) S {}", fields.join(" ")));
        assert_eq!((seen.threads, seen.addressed), (Some(20), Some(23)));
    }

    #[test]
    fn computing_takes_processor_time() {
        let before = process();
        let mut sum = 0_u64;
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        loop {
            for number in 0..1_000_000_u64 {
                sum = std::hint::black_box(sum.wrapping_add(number));
            }
            if process().user > before.user {
                break;
            }
            assert!(std::time::Instant::now() < deadline, "{before:?}");
        }
    }
}
