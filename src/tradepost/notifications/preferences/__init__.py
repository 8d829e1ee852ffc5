"""Preferences: the kinds of notification that a person wants, by channel."""
