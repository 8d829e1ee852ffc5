"""What a request is worth when not all can be served: told by its method, its path and its raw credential alone.

Nothing is checked or read for it: that would cost more than what it saves. A credential counts as a person's when it was
accepted within the last minute.
"""

import re
from collections.abc import Callable
from hashlib import blake2b
from typing import Final

from starlette.types import Scope

from tradepost.core.clock import Clock
from tradepost.core.overload.arrivals import Importance, rank_of
from tradepost.core.overload.known import KnownCredentials

_ALWAYS: Final = frozenset({"/livez", "/readyz", "/health", "/metrics"})
"""Probes and metrics: whoever watches must see what happens."""
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS", "QUERY"})
_HEAVY_PATH: Final = re.compile(r"/export/?$|/items/search(?:/|$)")
_HEAVY_QUERY: Final = re.compile(rb"(?:^|&)(?:q|w|h|format)=[^&]")
"""A search, or a picture in another size or format."""
_TURN: Final = 3600
"""Seconds after which the places are dealt anew: nobody is the last for ever."""


def credential_of(scope: Scope) -> bytes | None:
    """Return what a request shows of itself, unread."""
    for name, value in scope["headers"]:
        if name in {b"authorization", b"x-api-key"}:
            return value  # type: ignore[no-any-return]
    return None


class Ranking:
    """Says where a request stands among all that come.

    A person's place within a class is a hash of the credential, a stranger's of the address: the same in all processes, and
    for an hour, so that whoever is served stays served. ``address`` finds the address.
    """

    def __init__(self, *, clock: Clock, secret: str, address: Callable[[Scope], str]) -> None:
        self.known = KnownCredentials()
        self._clock = clock
        self._secret = blake2b(secret.encode(), digest_size=32).digest()
        self._address = address

    def rank(self, scope: Scope) -> int | None:
        """Return a request's rank, None for one that is always let in."""
        path = scope["path"]
        if path in _ALWAYS:
            return None
        credential = credential_of(scope)
        if credential is None or not self.known.is_known(credential, self._clock.monotonic()):
            credential = None
        reads = scope["method"] in _READING
        if reads and (_HEAVY_PATH.search(path) or _HEAVY_QUERY.search(scope["query_string"])):
            importance = Importance.HEAVY
        elif credential is None:
            importance = Importance.STRANGER
        elif reads:
            importance = Importance.READ
        elif any(name == b"idempotency-key" for name, _ in scope["headers"]):
            importance = Importance.KEYED
        else:
            importance = Importance.WRITE
        return rank_of(importance, self._place(credential or self._address(scope).encode()))

    def _place(self, person: bytes) -> int:
        # Keyed: nobody can choose a credential or an address that has a good place.
        turn = int(self._clock.now().timestamp() // _TURN).to_bytes(8, "big")
        return int.from_bytes(blake2b(person, digest_size=4, key=self._secret, salt=turn).digest(), "big")
