"""The audit trail: an append-only table that every service writes to in the transaction of what it tells of."""
