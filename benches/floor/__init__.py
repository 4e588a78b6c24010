"""The physical floor: a small C extension, compiled when a benchmark asks for it."""
