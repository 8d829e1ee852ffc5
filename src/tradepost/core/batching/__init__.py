"""Many requests, one statement: coalesced reads, group commits, single flights and the cache."""
