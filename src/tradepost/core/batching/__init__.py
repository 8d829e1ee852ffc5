"""Many requests, one statement: coalesced reads, group commits, single flights, bulkheads and the cache."""
