"""Categories: the tree that items are sorted into."""
