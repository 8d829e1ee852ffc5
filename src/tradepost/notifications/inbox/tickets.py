"""Tickets: capabilities that open the live stream of one session, for a browser's own ``EventSource``.

It sends no headers, so its credential has to be in the address, which proxies and histories keep. A ticket is good for nothing
but the stream and for ten minutes, so that a copied one gives little away; an access token would give the account.
"""

import base64
import hashlib
import hmac
from datetime import timedelta
from typing import Final

from tradepost.core.clock import Clock
from tradepost.core.errors import Unauthenticated
from tradepost.core.principal import Principal
from tradepost.core.wire.numbers import plain_number

LIFETIME: Final = timedelta(minutes=10)


class StreamTickets:
    """Makes and reads tickets: the user, the session, the end in Unix seconds, and a MAC over the three."""

    def __init__(self, *, secret: str, clock: Clock) -> None:
        # A key of its own, so that no MAC made for another purpose can ever serve as a ticket, nor a ticket for another.
        self._key = hmac.digest(secret.encode(), b"tradepost stream ticket v1", hashlib.sha256)
        self._clock = clock

    def issue(self, principal: Principal) -> str:
        """Return a ticket for the session that asks."""
        end = int((self._clock.now() + LIFETIME).timestamp())
        content = f"{principal.user_id}.{principal.session_id}.{end}"
        return f"{content}.{self._mac(content)}"

    def read(self, ticket: str) -> tuple[int, int]:
        """Return the user and the session of ``ticket``, or raise ``Unauthenticated``: the session may have ended since."""
        content, _, mac = ticket.rpartition(".")
        if not ticket.isascii() or not hmac.compare_digest(mac, self._mac(content)):
            raise Unauthenticated
        user_id, session_id, end = (plain_number(part) or 0 for part in content.split("."))
        if end <= self._clock.now().timestamp():
            raise Unauthenticated
        return user_id, session_id

    def _mac(self, content: str) -> str:
        return (
            base64.urlsafe_b64encode(hmac.digest(self._key, content.encode(), hashlib.sha256))
            .rstrip(b"=")
            .decode()
        )
