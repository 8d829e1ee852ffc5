"""Opaque cursors of keyset pagination, authenticated: one that we did not issue for just this list is refused."""

import base64
import binascii
import hashlib
import hmac
from typing import Final

_TAG: Final = 12
"""Bytes of the tag: enough to tell our own from a guess, and a cursor opens nothing that its bearer may not see."""
_LONGEST: Final = 200


class BadCursor(ValueError):
    """Not a cursor, or one of another list, person or filter."""


class Cursors:
    """Makes and reads cursors: whole numbers under a tag. ``scope`` names the list with everything that shapes it."""

    def __init__(self, secret: str) -> None:
        self._key = hashlib.sha256(b"tradepost cursors\0" + secret.encode()).digest()

    def issue(self, scope: str, *values: int) -> str:
        """Return the cursor of this place in a list."""
        place = ",".join(map(str, values)).encode()
        return base64.urlsafe_b64encode(self._tag(scope, place) + place).rstrip(b"=").decode()

    def read(self, scope: str, cursor: str) -> tuple[int, ...]:
        """Return the values of a cursor that was issued for ``scope``, or raise ``BadCursor``."""
        if len(cursor) > _LONGEST or not cursor.isascii():
            raise BadCursor
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except binascii.Error as error:
            raise BadCursor from error
        tag, place = raw[:_TAG], raw[_TAG:]
        if not hmac.compare_digest(tag, self._tag(scope, place)):
            raise BadCursor
        return tuple(int(value) for value in place.split(b","))

    def _tag(self, scope: str, place: bytes) -> bytes:
        return hmac.digest(self._key, scope.encode() + b"\0" + place, "sha256")[:_TAG]
