"""Pools as resources of Kailash's registry, and the ready factories of connections."""
