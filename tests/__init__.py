"""Tradepost's tests: the tree below mirrors ``src/tradepost``."""
