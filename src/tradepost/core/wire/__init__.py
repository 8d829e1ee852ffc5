"""The wire formats: lists, rows, cursors and text."""
