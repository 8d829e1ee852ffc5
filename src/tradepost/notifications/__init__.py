"""Notifications to people: the table of kinds, the inbox and its live stream, e-mails, and preferences."""
