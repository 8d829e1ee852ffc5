"""Settings, where they come from, and the table of them."""
