"""Accounts: users, their sessions and credentials, and what each role may do."""
