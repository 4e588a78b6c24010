"""Results of workflows that are kept."""
