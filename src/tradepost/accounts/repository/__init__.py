"""Every statement about accounts: users, their credentials, their sessions, and the tokens of links."""
