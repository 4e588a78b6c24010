"""Plugin: pictures do not tell which objects are the same."""

from differential import snapshot

snapshot.Snapshot.tells_sharing = False
