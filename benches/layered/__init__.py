"""A layered workflow of nodes that take a known time, on one process, on several, and on a cluster."""
