"""Gatherings: events with seats, waiting lists, reminders and calendar files."""
