"""Plugin (``-p processes.unshared``): pictures do not tell which objects are the same."""


def pytest_configure() -> None:
    """Only where it is asked for: a plugin is imported by whoever looks for doctests, too."""
    from differential.snapshot import Snapshot

    Snapshot.tells_sharing = False
