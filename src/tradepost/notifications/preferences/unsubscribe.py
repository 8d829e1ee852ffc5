"""Signed links that switch off one kind of e-mail for one person with one click (RFC 8058).

A mail program posts to the link without any log-in, so the link itself is the permission: it names the person and the kind
under a MAC and can do nothing else. It does not expire, because people unsubscribe from old e-mails too.
"""

import base64
import binascii
from typing import Final

from tradepost.core.secret_keys import SecretKeys

PATH: Final = "/notifications/unsubscribe"
_PURPOSE: Final = b"tradepost unsubscribe links 1"
"""Separates this key from others that are derived from ``SECRET_KEY``."""
_TAG: Final = 16
_LONGEST: Final = 200


class UnsubscribeLinks:
    """Makes and reads the links. ``public_url`` is how people reach this service."""

    def __init__(self, *, keys: SecretKeys, public_url: str) -> None:
        self._keys = keys.derived(_PURPOSE, size=_TAG)
        self._public_url = public_url

    def url(self, user_id: int, kind: str) -> str:
        """Return the link that switches the e-mails of ``kind`` off for a person."""
        content = f"{user_id}.{kind}".encode()
        token = base64.urlsafe_b64encode(self._keys.mac(content) + content).rstrip(b"=").decode()
        return f"{self._public_url}{PATH}?token={token}"

    def read(self, token: str) -> tuple[int, str] | None:
        """Return the person and the kind of a token, or None for a token that was not made here."""
        if len(token) > _LONGEST or not token.isascii():
            return None
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except binascii.Error:
            return None
        tag, content = raw[:_TAG], raw[_TAG:]
        if not self._keys.hold(content, tag):
            return None
        user_id, _, kind = content.decode().partition(".")
        return int(user_id), kind
