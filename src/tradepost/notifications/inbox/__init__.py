"""The inbox: a person's notifications as a list, and as a live stream."""
