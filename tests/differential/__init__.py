"""Differential tests: the drop-in runtime against stock Kailash, side by side."""
