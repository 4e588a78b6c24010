"""What ``PerformanceOptimizer`` changes about an app, and how it measures what came of it."""
