"""The tree that items are sorted into."""
