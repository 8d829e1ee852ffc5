"""What a person wants to be told, and over which channel."""
