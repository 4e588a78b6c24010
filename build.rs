//! Tells the bindings which interpreter they are built for, and how they are built.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "python")]
    pyo3_build_config::use_pyo3_cfgs();
    for name in ["PROFILE", "OPT_LEVEL", "TARGET"] {
        told(name, &env::var(name).unwrap_or_default());
    }
    told("COMPILER", &compiler().unwrap_or_default());
}

fn told(name: &str, value: &str) {
    println!("cargo:rustc-env=NEXUS_CORE_{name}={value}");
}

/// Such as `rustc 1.95.0`.
fn compiler() -> Option<String> {
    let answer = Command::new(env::var_os("RUSTC")?)
        .arg("--version")
        .output()
        .ok()?;
    let line = String::from_utf8(answer.stdout).ok()?;
    Some(
        line.split_whitespace()
            .take(2)
            .collect::<Vec<_>>()
            .join(" "),
    )
}
