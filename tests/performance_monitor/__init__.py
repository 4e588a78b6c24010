"""`PerformanceMonitor` on real apps."""
