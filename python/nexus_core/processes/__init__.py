"""Worker processes: how they are started, what they are sent, and which nodes go to them."""
