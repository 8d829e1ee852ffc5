"""Who is asking, as every domain and ``web`` see it. ``accounts`` fills it in."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated person: user id, what they may do, and the session whose token they showed."""

    user_id: int
    permissions: frozenset[str]
    session_id: int
