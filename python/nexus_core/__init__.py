"""nexus-core."""
