"""Answers as bytes: JSON that is made already, files and their ranges, server-sent events, the package's own pages."""
