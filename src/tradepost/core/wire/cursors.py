"""Opaque cursors of keyset pagination: the place of a row, under a tag that binds it to one list.

A client hands a cursor back to say where it stopped. Without the tag it could make up places, and a cursor of another
filter or order would silently answer another question.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, TypeVar

from pydantic_core import from_json, to_json

from tradepost.core.errors import Unprocessable
from tradepost.core.secret_keys import SecretKeys
from tradepost.core.wire.pagination import KeyValue, Page, Place, Window

T = TypeVar("T")

LONGEST: Final = 4_096
"""Characters of the longest cursor: one that holds the longest sort keys of text has fewer."""
_TAG: Final = 12
"""Bytes of the tag: enough to tell our own from a guess, and a cursor opens nothing that its bearer may not see."""
_FORM: Final = b"tradepost cursors 3"
"""The purpose of the key: a cursor of an earlier form of places is refused like any other that is not ours."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_MOMENT: Final = "t"
_DECIMAL: Final = "d"


class BadCursor(Unprocessable):
    """Not a cursor, or one of another list, another filter, another order, or an earlier form."""

    def __init__(self) -> None:
        super().__init__(
            ("query", "cursor"), "Not a cursor of this list with these filters and this order", kind="cursor"
        )


class Cursors:
    """Makes and reads cursors. ``scope`` names the list with every filter that shapes it; the order is added to it."""

    def __init__(self, keys: SecretKeys) -> None:
        self._keys = keys.derived(_FORM, size=_TAG)

    def issue(self, scope: str, place: Place) -> str:
        """Return the cursor of a place in a list."""
        written = to_json([_written(value) for value in place])
        return (
            base64.urlsafe_b64encode(self._keys.mac(_content(scope, written)) + written).rstrip(b"=").decode()
        )

    def read(self, scope: str, cursor: str) -> Place:
        """Return the place of a cursor that was issued for ``scope``, or raise ``BadCursor``."""
        if len(cursor) > LONGEST or not cursor.isascii():
            raise BadCursor
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except binascii.Error as error:
            raise BadCursor from error
        tag, written = raw[:_TAG], raw[_TAG:]
        if not self._keys.hold(_content(scope, written), tag):
            raise BadCursor
        return tuple(map(_value, from_json(written)))

    def opened(self, window: Window, scope: str) -> Window:
        """Return the window with the place that its cursor stands for."""
        if window.cursor is None:
            return window
        return replace(window, after=self.read(f"{scope} {window.sort}", window.cursor))

    def sealed(self, page: Page[T], scope: str) -> Page[T]:
        """Return the page with the cursor of the one after it."""
        if page.end is None:
            return page
        return replace(page, next_cursor=self.issue(f"{scope} {page.window.sort}", page.end))

    async def page(self, scope: str, window: Window, read: Callable[[Window], Awaitable[Page[T]]]) -> Page[T]:
        """Return the page of a list that ``read`` reads, from the cursor of the window to that of the next one."""
        return self.sealed(await read(self.opened(window, scope)), scope)


def _content(scope: str, written: bytes) -> bytes:
    return scope.encode() + b"\0" + written


def _written(value: KeyValue) -> Any:
    """Return a value as JSON holds it without loss."""
    if isinstance(value, datetime):
        return [_MOMENT, (value - _EPOCH) // _MICROSECOND]
    if isinstance(value, Decimal):
        return [_DECIMAL, str(value)]
    return value


def _value(written: Any) -> KeyValue:
    if not isinstance(written, list):
        return written  # type: ignore[no-any-return]
    kind, text = written
    return _EPOCH + text * _MICROSECOND if kind == _MOMENT else Decimal(text)
