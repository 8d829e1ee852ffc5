"""Signals from process to process: by NOTIFY, Redis or a SQLite file."""
