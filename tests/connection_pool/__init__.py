"""``nexus_core.ConnectionPool``."""
