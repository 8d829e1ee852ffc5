"""Every statement about events, their participants and their reminders."""
