"""A user's own workflow on Kailash's runtimes and on these, side by side."""
