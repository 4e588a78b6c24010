"""Real servers for tests, and a network between that can fail."""
