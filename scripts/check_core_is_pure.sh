#!/usr/bin/env bash
# src/core holds all logic and knows nothing of Python, so that it is tested without an interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."

if grep -rnE '\bpyo3\b|\bPython<|\bPyObject\b' src/core; then
    echo "src/core mentions Python (lines above): move that into src/py." >&2
    exit 1
fi
