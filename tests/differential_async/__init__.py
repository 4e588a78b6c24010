"""Differential tests: the drop-in ``AsyncLocalRuntime`` against stock Kailash, side by side."""
