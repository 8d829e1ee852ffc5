"""Backups of the embedded default: its database, its files and its key, in one archive."""
