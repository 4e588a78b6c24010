//! What a container allows its processes: control groups of either version.

use std::fs;
use std::path::{Path, PathBuf};

/// Limits of the control groups that a process is in; `None` for what is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Bytes that all processes of the group may use.
    pub memory: Option<u64>,
    /// Bytes that they use, of the group whose limit it is; caches that can be dropped
    /// count, as they do against the limit.
    pub memory_used: Option<u64>,
    /// Processors, as a share of their time.
    pub cpus: Option<f64>,
}

/// In version one, what is not limited has a limit near the largest number.
const UNLIMITED: u64 = 1 << 60;

/// Those of this process.
pub fn limits() -> Limits {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    limits_of(&groups, Path::new("/sys/fs/cgroup"))
}

/// Those of a process that is in these groups, as `/proc/self/cgroup` lists them, with
/// the file system of control groups at `root`.
fn limits_of(groups: &str, root: &Path) -> Limits {
    let mut limits = Limits::default();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        if controllers.is_empty() {
            for group in ancestry(root, path) {
                limits.restrict_memory(
                    number(&group.join("memory.max")),
                    &group.join("memory.current"),
                );
                limits.restrict_cpus(cpus_of_version_two(&group.join("cpu.max")));
            }
            continue;
        }
        for controller in controllers.split(',') {
            let base = root.join(controllers);
            let base = if base.is_dir() {
                base
            } else {
                root.join(controller)
            };
            match controller {
                "memory" => {
                    for group in ancestry(&base, path) {
                        let limit = number(&group.join("memory.limit_in_bytes"));
                        limits.restrict_memory(
                            limit.filter(|&limit| limit < UNLIMITED),
                            &group.join("memory.usage_in_bytes"),
                        );
                    }
                }
                "cpu" => {
                    for group in ancestry(&base, path) {
                        let quota = number(&group.join("cpu.cfs_quota_us"));
                        let period = number(&group.join("cpu.cfs_period_us"));
                        limits.restrict_cpus(share(quota, period));
                    }
                }
                _ => {}
            }
        }
    }
    limits
}

/// A group and those around it. Inside a container the path may be one that only its
/// host sees: then the root of what is mounted is the group.
fn ancestry(base: &Path, path: &str) -> Vec<PathBuf> {
    let inner = Path::new(path.trim_start_matches('/'));
    let found = inner
        .ancestors()
        .map(|part| base.join(part))
        .filter(|group| group.is_dir());
    found.collect()
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn share(quota: Option<u64>, period: Option<u64>) -> Option<f64> {
    let period = period.filter(|&period| period > 0)?;
    Some(quota? as f64 / period as f64)
}

/// `max 100000`, or a quota in its place.
fn cpus_of_version_two(file: &Path) -> Option<f64> {
    let text = fs::read_to_string(file).ok()?;
    let mut numbers = text.split_whitespace().map(|part| part.parse().ok());
    share(numbers.next().flatten(), numbers.next().flatten())
}

impl Limits {
    fn restrict_memory(&mut self, limit: Option<u64>, usage: &Path) {
        if let Some(limit) = limit
            && self.memory.is_none_or(|known| limit < known)
        {
            self.memory = Some(limit);
            self.memory_used = number(usage);
        }
    }

    fn restrict_cpus(&mut self, cpus: Option<f64>) {
        if let Some(cpus) = cpus
            && self.cpus.is_none_or(|known| cpus < known)
        {
            self.cpus = Some(cpus);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files below a folder of the test's own, removed at its end.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let own = format!("nexus-core-{}-{name}", std::process::id());
            let root = std::env::temp_dir().join(own);
            for (path, text) in files {
                let file = root.join(path);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, text).unwrap();
            }
            Self(root)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn version_two_has_the_tightest_limit_of_a_group_and_those_around_it() {
        let tree = Tree::new(
            "v2",
            &[
                ("memory.current", "900"),
                ("a/memory.max", "500\n"),
                ("a/memory.current", "300\n"),
                ("a/cpu.max", "max 100000\n"),
                ("a/b/memory.max", "max\n"),
                ("a/b/memory.current", "100\n"),
                ("a/b/cpu.max", "150000 100000\n"),
            ],
        );
        let expected = Limits {
            memory: Some(500),
            memory_used: Some(300),
            cpus: Some(1.5),
        };
        assert_eq!(limits_of("0::/a/b\n", &tree.0), expected);
    }

    #[test]
    fn version_one_has_a_hierarchy_a_controller() {
        let tree = Tree::new(
            "v1",
            &[
                ("memory/memory.limit_in_bytes", "9223372036854771712"),
                ("memory/docker/x/memory.limit_in_bytes", "1000"),
                ("memory/docker/x/memory.usage_in_bytes", "10"),
                ("cpu,cpuacct/cpu.cfs_quota_us", "-1"),
                ("cpu,cpuacct/cpu.cfs_period_us", "100000"),
                ("cpu,cpuacct/docker/x/cpu.cfs_quota_us", "50000"),
                ("cpu,cpuacct/docker/x/cpu.cfs_period_us", "100000"),
            ],
        );
        let groups = "12:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n1:name=systemd:/docker/x\n";
        let expected = Limits {
            memory: Some(1000),
            memory_used: Some(10),
            cpus: Some(0.5),
        };
        assert_eq!(limits_of(groups, &tree.0), expected);
    }

    #[test]
    fn a_path_that_only_the_host_sees_is_the_root_of_what_is_mounted() {
        let tree = Tree::new("inner", &[("memory.max", "77"), ("memory.current", "7")]);
        let seen = limits_of("0::/system.slice/docker-1234.scope\n", &tree.0);
        assert_eq!((seen.memory, seen.memory_used), (Some(77), Some(7)));
    }

    #[test]
    fn where_nothing_is_limited_or_can_be_read_there_are_no_limits() {
        let tree = Tree::new("none", &[("memory.max", "max"), ("cpu.max", "nonsense")]);
        assert_eq!(limits_of("0::/\n", &tree.0), Limits::default());
        assert_eq!(limits_of("garbage", &tree.0), Limits::default());
        assert_eq!(limits_of("", Path::new("/nowhere")), Limits::default());
    }
}
