"""Whether the load generator measures right: against a server whose response times are known."""
