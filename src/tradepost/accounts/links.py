"""One-time links: a token that is derived when it is needed, and of which only a hash is kept.

The row of a token holds a random nonce and the token's SHA-256. The token is a MAC over the nonce, under a key made from
``SECRET_KEY``: a leaked database makes no link, and each attempt to send an e-mail makes the same one.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from tradepost.accounts.models import AccountToken, TokenPurpose
from tradepost.core.clock import Clock
from tradepost.core.secret_keys import DerivedKeys, SecretKeys

LIFETIMES: Final[Mapping[TokenPurpose, timedelta]] = {
    TokenPurpose.VERIFY_EMAIL: timedelta(days=3),
    TokenPurpose.RESET_PASSWORD: timedelta(hours=1),
    TokenPurpose.CHANGE_EMAIL: timedelta(days=1),
    TokenPurpose.UNDO_EMAIL: timedelta(days=7),
}
"""How long a link is good."""

PAGES: Final[Mapping[TokenPurpose, str]] = {
    TokenPurpose.VERIFY_EMAIL: "/account/verify-email",
    TokenPurpose.RESET_PASSWORD: "/account/reset-password",
    TokenPurpose.CHANGE_EMAIL: "/account/change-email",
    TokenPurpose.UNDO_EMAIL: "/account/undo-email-change",
}
"""The built-in page that a link leads to."""


class Links:
    """Makes the tokens of links. ``public_url`` is how people reach this service."""

    def __init__(self, *, keys: SecretKeys, public_url: str, clock: Clock) -> None:
        # A key of its own, so that no MAC made for another purpose can ever serve as a link.
        self._keys = keys.derived(b"tradepost account link v1")
        self._public_url = public_url
        self._clock = clock

    def fresh(self, purpose: TokenPurpose, *, user_id: int, email: str, now: datetime) -> dict[str, Any]:
        """Return the row of a new token."""
        nonce = self._clock.token(24)
        return {
            "user_id": user_id,
            "purpose": purpose,
            "nonce": nonce,
            "token_hash": hashed(_tokens(self._keys, purpose, user_id, nonce)[0]),
            "email": email,
            "created_at": now,
            "expires_at": now + LIFETIMES[purpose],
        }

    def url(self, row: AccountToken) -> str | None:
        """Return the link of a token; None when its row was made under a key that counts no more.

        The token is in the fragment, which browsers keep to themselves: no server, proxy or log on the way sees it.
        """
        for token in _tokens(self._keys, row.purpose, row.user_id, row.nonce):
            if hmac.compare_digest(hashed(token), row.token_hash):
                return f"{self._public_url}{PAGES[row.purpose]}#token={token}"
        return None


def _tokens(keys: DerivedKeys, purpose: TokenPurpose, user_id: int, nonce: str) -> list[str]:
    """Return the token of a nonce under each key, that of the one in force first."""
    macs = keys.macs(f"{purpose}.{user_id}.{nonce}".encode())
    return [base64.urlsafe_b64encode(mac).rstrip(b"=").decode() for mac in macs]


def hashed(token: str) -> str:
    """Return what is kept of a token, and what it is found by. It has 256 random bits: no salt and no slow hash."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
