"""Serves the scaled app over HTTP until its standard input ends; writes what the scaler has recorded to a file."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from scaling.subject import CHECK_SECONDS, record_of, scaled_app
from service.serving import serve


def main(policy: str, path: str) -> None:
    # Importing nexus has configured logging at INFO.
    logging.basicConfig(level=logging.WARNING, force=True)
    app, scaler = scaled_app(policy)
    scaler.start_auto_scaling(CHECK_SECONDS)
    serve(app)
    scaler.stop_auto_scaling()
    Path(path).write_text(json.dumps(record_of(scaler)), encoding="utf-8")
    app.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
