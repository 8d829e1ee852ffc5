"""What happens inside, drawn while it happens: the page ``/live`` and its stream."""
