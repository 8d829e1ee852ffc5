"""The transactional outbox, and the dispatcher that delivers its messages."""
