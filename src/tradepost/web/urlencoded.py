"""Text in addresses and forms: percent-encoded (``application/x-www-form-urlencoded``), UTF-8, without NUL.

Frameworks read such bytes leniently, as Latin-1 or with replacements; a database would then refuse the text, or keep another
one than was sent. Here it is refused first, by the name of its field.
"""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from starlette.types import Scope

from tradepost.core.errors import Unprocessable

# What only a look at the bytes can judge: an escaped NUL, an escaped byte past ASCII, or such a byte as it is.
_SUSPICIOUS: Final = re.compile(rb"%00|%[89A-Fa-f][0-9A-Fa-f]|[\x00\x80-\xff]")
_PAST_ASCII: Final = re.compile(rb"[\x80-\xff]+")
NOT_TEXT: Final = "Text must be UTF-8 and hold no NUL"
_LONGEST_NAME: Final = 100


def shortened(part: str | int) -> str | int:
    """Return a part of a location as an error may repeat it: a name can be as long as the body that it came from."""
    return part if isinstance(part, int) else part[:_LONGEST_NAME]


def decoded(data: bytes) -> str | None:
    """Return the text, or None when it is no UTF-8 or holds a NUL."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return None if "\x00" in text else text


def pairs(encoded: bytes) -> Iterator[tuple[str | None, str | None]]:
    """Yield names and values of ``application/x-www-form-urlencoded`` data; None stands for what is no text."""
    for pair in encoded.split(b"&"):
        if pair:
            name, _, value = pair.partition(b"=")
            yield _unescaped(name), _unescaped(value)


def _unescaped(data: bytes) -> str | None:
    return decoded(unquote_to_bytes(data.replace(b"+", b" ")))


def checked_query(query: bytes) -> bytes:
    """Return a query string in ASCII; ``Unprocessable`` for what is no text in it.

    Some clients send UTF-8 without escapes, which would be read as Latin-1.
    """
    if not _SUSPICIOUS.search(query):
        return query
    for name, value in pairs(query):
        if name is None:
            raise Unprocessable(("query",), NOT_TEXT, kind="string_unicode")
        if value is None:
            raise Unprocessable(("query", shortened(name)), NOT_TEXT, kind="string_unicode")
    return _PAST_ASCII.sub(lambda found: quote_from_bytes(found[0]).encode(), query)


def check_path(scope: Scope) -> None:
    """Raise ``Unprocessable`` unless the path of a request is text."""
    path: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogatepass")
    if _SUSPICIOUS.search(path) and decoded(unquote_to_bytes(path)) is None:
        raise Unprocessable(("path",), NOT_TEXT, kind="string_unicode")
