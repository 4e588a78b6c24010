#!/usr/bin/env bash
# Prints the path of a Python that can build this project, or says what to install.
# PYTHON=/path/to/python overrides the search.
set -euo pipefail

usable() { # the second import is what Debian leaves out of its python3 package
    "$1" -c 'import sys, venv, ensurepip; raise SystemExit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

if [ -n "${PYTHON:-}" ]; then
    usable "$PYTHON" && { command -v "$PYTHON"; exit 0; }
    echo "PYTHON=$PYTHON is not a Python 3.11 or newer with the venv module." >&2
    exit 1
fi
for name in python3 python3.13 python3.12 python3.11 python; do
    if command -v "$name" >/dev/null && usable "$name"; then
        command -v "$name"
        exit 0
    fi
done

if command -v python3 >/dev/null && python3 -c 'import sys; raise SystemExit(sys.version_info < (3, 11))'; then
    echo "python3 has no venv module: install it (on Debian and Ubuntu: apt-get install python3-venv)." >&2
else
    echo "Python 3.11 or newer not found: install it from https://www.python.org/downloads/" \
        "(on Debian and Ubuntu: apt-get install python3 python3-venv), or set PYTHON=/path/to/python3." >&2
fi
exit 1
