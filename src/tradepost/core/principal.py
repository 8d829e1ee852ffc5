"""Who is asking, as every domain and ``web`` see it. ``accounts`` fills it in."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated person: user id, what they may do, and the session whose token they showed."""

    user_id: int
    permissions: frozenset[str]
    session_id: int

    def may_act_for(self, owner_id: int, *, overriding: str) -> bool:
        """Tell whether this is the owner, or has the permission ``overriding``, which stands in for ownership."""
        return self.user_id == owner_id or overriding in self.permissions
