"""The words that items are found by."""
