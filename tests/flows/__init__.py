"""What a person, a client or an operator does from end to end, with servers that run as processes of their own."""
