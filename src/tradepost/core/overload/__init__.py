"""Overload control: what waits for its turn, and who is served when not all can be."""
