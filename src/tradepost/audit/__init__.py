"""What people and admins see of the audit trail, and how long it is kept."""
