"""Which credentials were accepted a moment ago: looked up before they are checked, when a check costs too much."""

from collections import OrderedDict
from typing import Final

KNOWN_FOR: Final = 60.0
"""Seconds for which an accepted credential is known."""
NOTED_AGAIN: Final = 1.0
"""Seconds for which one that was noted is not noted again: every request has one."""
MAX_KNOWN: Final = 20_000
"""Credentials that are known at a time; some 3 MB."""


class KnownCredentials:
    """A bounded set of what was accepted in the last minute; it holds hashes, and gives nobody a right."""

    def __init__(self, *, limit: int = MAX_KNOWN) -> None:
        self._limit = limit
        # Those accepted the longest ago come first.
        self._accepted: OrderedDict[int, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._accepted)

    def accept(self, credential: bytes, now: float) -> None:
        """Note that a credential was accepted."""
        key = hash(credential)
        known = self._accepted
        if known.get(key, -NOTED_AGAIN) > now - NOTED_AGAIN:
            return
        known[key] = now
        known.move_to_end(key)
        first = next(iter(known))
        if len(known) > self._limit or known[first] < now - KNOWN_FOR:
            del known[first]

    def is_known(self, credential: bytes, now: float) -> bool:
        """Tell whether a credential was accepted in the last minute."""
        return self._accepted.get(hash(credential), -KNOWN_FOR) > now - KNOWN_FOR
