#!/usr/bin/env bash
# Says what to install when the Rust toolchain or its linker is missing or too old.
set -euo pipefail
cd "$(dirname "$0")/.."

needed=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)

if ! command -v cargo >/dev/null || ! command -v rustc >/dev/null; then
    echo "cargo not found: install Rust from https://rustup.rs ($needed or newer)." >&2
    exit 1
fi
found=$(rustc --version | cut -d' ' -f2)
if [ "$(printf '%s\n%s\n' "$needed" "${found%%-*}" | sort -V | head -n 1)" != "$needed" ]; then
    echo "rustc $found is too old: this needs Rust $needed or newer (rustup update stable)." >&2
    exit 1
fi
if ! command -v cc >/dev/null && ! command -v gcc >/dev/null && ! command -v clang >/dev/null; then
    echo "no C linker (cc) found, which Rust needs: install one" \
        "(on Debian and Ubuntu: apt-get install gcc libc6-dev; on macOS: xcode-select --install)." >&2
    exit 1
fi
