"""A live view of a running app in the terminal, over what it tells by HTTP."""
