"""Thousands of runs that end in every way, in a process of their own that is asked what they left behind."""
