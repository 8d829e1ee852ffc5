"""Which credentials were accepted a moment ago: looked up before they are checked, when a check costs too much."""

from typing import Final

KNOWN_FOR: Final = 60.0
"""Seconds for which an accepted credential is known."""
MAX_KNOWN: Final = 20_000
"""Credentials that are known at a time; some 3 MB."""


class KnownCredentials:
    """A bounded set of what was accepted in the last minute; it holds hashes, and gives nobody a right."""

    def __init__(self, *, limit: int = MAX_KNOWN) -> None:
        self._limit = limit
        # Those accepted the longest ago come first.
        self._accepted: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._accepted)

    def accept(self, credential: bytes, now: float) -> None:
        """Note that a credential was accepted."""
        key = hash(credential)
        known = self._accepted
        known.pop(key, None)
        known[key] = now
        first = next(iter(known))
        if len(known) > self._limit or known[first] < now - KNOWN_FOR:
            del known[first]

    def is_known(self, credential: bytes, now: float) -> bool:
        """Tell whether a credential was accepted in the last minute."""
        return self._accepted.get(hash(credential), -KNOWN_FOR) > now - KNOWN_FOR
