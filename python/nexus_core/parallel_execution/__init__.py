"""Behind ``ParallelExecutionManager``: batches, what they show of service times, and what follows from it."""
