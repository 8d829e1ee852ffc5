"""Overload control at the door: what a request is worth and whose it is, and the answer of those that are not let in."""
