"""People: who you are, how you prove it, and what you may do."""
