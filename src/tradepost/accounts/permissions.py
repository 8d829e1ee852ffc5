"""Roles, and what each may do. Routes ask for permissions, never for roles."""

from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What a person is to the marketplace. Staff are the last two."""

    USER = "user"
    MODERATOR = "moderator"
    ADMIN = "admin"


class Permission(StrEnum):
    """One thing that may be allowed."""

    READ_USERS = "read:users"
    WRITE_USERS = "write:users"
    DELETE_USERS = "delete:users"
    READ_ITEMS = "read:items"
    WRITE_ITEMS = "write:items"
    DELETE_ITEMS = "delete:items"
    ADMIN_ACCESS = "admin:access"


_USER = frozenset({Permission.READ_ITEMS, Permission.WRITE_ITEMS})

PERMISSIONS: Final[dict[Role, frozenset[str]]] = {
    Role.USER: _USER,
    Role.MODERATOR: _USER | {Permission.DELETE_ITEMS, Permission.READ_USERS},
    Role.ADMIN: frozenset(Permission),
}

STAFF: Final = Permission.DELETE_ITEMS
"""What moderators and admins may and others may not: the mark of staff."""
