"""Engines, sessions, models and migrations, alike on SQLite and PostgreSQL."""
