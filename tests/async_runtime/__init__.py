"""Tests of ``AsyncLocalRuntime``."""
