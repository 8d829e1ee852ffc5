"""Tags: the words that items are found by."""
