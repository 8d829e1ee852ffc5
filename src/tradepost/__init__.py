"""Tradepost: the backend of a marketplace."""
