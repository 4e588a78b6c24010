#!/usr/bin/env bash
# make_venv.sh DIRECTORY REQUIREMENTS: creates the environment where it is missing or broken,
# and installs exactly the locked versions.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=$1
requirements=$2

if ! "$venv/bin/python" -c 'import pip' >/dev/null 2>&1; then
    python=$(scripts/find_python.sh)
    echo "creating $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv"
fi
echo "installing $requirements into $venv"
# Everything is in the lock, dependencies included; pip has nothing to resolve.
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
    --requirement "$requirements"
"$venv/bin/python" -m pip check --disable-pip-version-check
