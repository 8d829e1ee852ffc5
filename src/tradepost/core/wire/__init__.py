"""What lists, rows, cursors and text look like on the wire."""
