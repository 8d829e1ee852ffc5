"""The answer to a request that is not let in, as bytes: made once, but for its id and when to come back."""

import itertools
import math
from collections.abc import Iterable
from typing import Final

from tradepost.core.clock import Clock
from tradepost.core.errors import Overloaded
from tradepost.web.asgi_scope import REQUEST_ID_KEY
from tradepost.web.problems.rendering import problem

LONGEST: Final = 10
"""Seconds after which a refused client is asked back, at most."""
_SPREAD: Final = 4.0
"""Seconds over which they are spread where hardly more come than are served."""

_STATUS: Final = b"HTTP/1.1 503 Service Unavailable\r\n"
_EACH: Final = frozenset({b"retry-after", b"content-length"})
"""What is another in each answer."""


class Refusals:
    """Makes such answers. ``fields`` are the header fields that every answer has.

    The time to come back is drawn for each: clients that all came back at once would be the next overload.
    """

    def __init__(self, clock: Clock, fields: Iterable[tuple[bytes, bytes]]) -> None:
        self._chance = clock.chance
        self._prefix = clock.token(9)
        self._count = itertools.count(1)
        mark = "the-id"
        answer = problem({REQUEST_ID_KEY: mark}, Overloaded())
        told = [(name, value) for name, value in answer.raw_headers if name not in _EACH]
        head = b"".join(b"%b: %b\r\n" % field for field in (*told, *fields))
        self._before, _, self._after = bytes(answer.body).partition(mark.encode())
        self._length = len(self._before) + len(self._after)
        self._later = [b"%bretry-after: %d\r\n" % (head, seconds) for seconds in range(LONGEST + 1)]
        self._defaults: list[tuple[bytes, bytes]] | None = None
        self._line = b""

    def retry_after(self, load: float) -> int:
        """Draw after how many seconds to come back: the later, the more come for each that is served."""
        return 1 + math.floor(self._chance() * min(LONGEST, _SPREAD + load))

    def encoded(
        self, defaults: list[tuple[bytes, bytes]], *, load: float, stays: bool, request_id: bytes | None
    ) -> bytes:
        """Return an answer; ``defaults`` are the server's own fields, ``stays`` says whether the connection does."""
        if defaults is not self._defaults:
            # The server makes a new list each second, for the date.
            self._defaults = defaults
            self._line = _STATUS + b"".join(b"%b: %b\r\n" % field for field in defaults)
        if request_id is None:
            request_id = f"{self._prefix}-{next(self._count) & 0xFFFFFFFF:08x}".encode()
        return b"%b%bcontent-length: %d\r\nx-request-id: %b\r\n%b%b%b%b" % (
            self._line,
            self._later[min(LONGEST, self.retry_after(load))],
            self._length + len(request_id),
            request_id,
            b"\r\n" if stays else b"connection: close\r\n\r\n",
            self._before,
            request_id,
            self._after,
        )
