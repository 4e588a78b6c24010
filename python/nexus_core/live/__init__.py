"""What an app does now: readings of its figures, what lies between two of them, and a page that shows it."""
