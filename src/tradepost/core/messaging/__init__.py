"""The outbox and what delivers its messages."""
