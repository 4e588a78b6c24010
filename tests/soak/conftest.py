"""Programs for tests elsewhere: nothing here is collected."""

collect_ignore_glob = ["*.py"]
