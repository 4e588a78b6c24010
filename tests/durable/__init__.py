"""Runs that resume: checkpoints, completion hooks, and processes that are killed."""
