"""Tickets: capabilities that open the live stream of one session or API key, for a browser's own ``EventSource``.

It sends no headers, so its credential has to be in the address, which proxies and histories keep. A ticket is good for nothing
but the stream and for ten minutes, so that a copied one gives little away; an access token would give the account.
"""

import base64
import hmac
from datetime import timedelta
from typing import Final

from tradepost.core.clock import Clock
from tradepost.core.errors import Unauthenticated
from tradepost.core.principal import Principal
from tradepost.core.secret_keys import SecretKeys
from tradepost.core.wire.numbers import plain_number

LIFETIME: Final = timedelta(minutes=10)
_KEY_MARK: Final = "k"
"""What stands before a key's prefix, so that it is no session's number."""


class StreamTickets:
    """Makes and reads tickets: the user, the session or the key's prefix, the end in Unix seconds, and a MAC over the three."""

    def __init__(self, *, keys: SecretKeys, clock: Clock) -> None:
        # A key of its own, so that no MAC made for another purpose can ever serve as a ticket, nor a ticket for another.
        self._keys = keys.derived(b"tradepost stream ticket v1")
        self._clock = clock

    def issue(self, principal: Principal) -> str:
        """Return a ticket for the session or the key that asks."""
        end = int((self._clock.now() + LIFETIME).timestamp())
        held = principal.session_id if principal.key is None else f"{_KEY_MARK}{principal.key.prefix}"
        content = f"{principal.user_id}.{held}.{end}"
        return f"{content}.{_shown(self._keys.mac(content.encode()))}"

    def read(self, ticket: str) -> tuple[int, int | str]:
        """Return the user of ``ticket``, and the session or the key's prefix, either of which may have ended since.

        ``Unauthenticated`` for a ticket that is not good.
        """
        content, _, mac = ticket.rpartition(".")
        if not ticket.isascii() or not any(
            hmac.compare_digest(mac, _shown(known)) for known in self._keys.macs(content.encode())
        ):
            raise Unauthenticated
        user, held, end = content.split(".")
        if (plain_number(end) or 0) <= self._clock.now().timestamp():
            raise Unauthenticated
        is_key = held.startswith(_KEY_MARK)
        return plain_number(user) or 0, held.removeprefix(_KEY_MARK) if is_key else plain_number(held) or 0


def _shown(mac: bytes) -> str:
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
