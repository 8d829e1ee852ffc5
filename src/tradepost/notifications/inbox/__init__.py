"""What a person was told, to be read at leisure or live."""
