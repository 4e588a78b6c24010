"""``ResourcePoolManager`` on real Nexus apps."""
