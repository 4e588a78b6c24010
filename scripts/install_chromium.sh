#!/usr/bin/env bash
# Installs Chromium where it is missing and that is possible; says plainly where it is not.
# The pages that nexus-core writes are opened in it; without it those tests skip themselves.
set -euo pipefail

for name in chromium chromium-browser google-chrome google-chrome-stable chrome; do
    command -v "$name" >/dev/null && exit 0
done
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Chromium is missing and was NOT installed here: that takes root and apt-get." >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
{ apt-get update && apt-get install --yes --no-install-recommends chromium; } >/dev/null ||
    echo "Chromium is missing and could NOT be installed with apt-get (lines above)." >&2
