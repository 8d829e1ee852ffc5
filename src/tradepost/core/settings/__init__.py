"""Settings: their sources, values and faults, and the table of them."""
