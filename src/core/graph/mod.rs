//! The task graph in compressed sparse row form, and the questions one asks of it.
