"""The authenticated asker of a request, as every domain and ``web`` see it.

A type of ``core``, filled in by ``accounts``: a domain that checks a permission needs no table of users.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated person: the user's id, the permissions, and the session that the token belongs to."""

    user_id: int
    permissions: frozenset[str]
    session_id: int

    def may_act_for(self, owner_id: int, *, overriding: str) -> bool:
        """Tell whether this is the owner, or has the permission ``overriding``, which stands in for ownership."""
        return self.user_id == owner_id or overriding in self.permissions
