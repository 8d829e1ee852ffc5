"""Full-text search over a table of normalised texts: questions, the vocabulary for typos, statements, highlights."""
