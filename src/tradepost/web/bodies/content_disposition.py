"""``Content-Disposition`` of a part of a form (RFC 7578), read as leniently as the programs that send it need.

Browsers write what the HTML standard says, libraries what RFC 2183, 2047 or 5987 says, and each has names that the others
cannot write. A person's file keeps its name whichever program sent it.
"""

import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Iterator
from dataclasses import dataclass
from quopri import decodestring
from typing import Final
from urllib.parse import unquote_to_bytes

_QUOTED: Final = re.compile(rb'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_ESCAPED: Final = re.compile(rb'\\(["\\])')
"""Only these: a browser leaves the backslashes of a name as they are."""
_FORM_ESCAPES: Final = {b"%22": b'"', b"%0D": b"\r", b"%0A": b"\n"}
"""What the HTML standard escapes in names. A percent sign itself it does not, so nothing else may be undone."""
_FORM_ESCAPED: Final = re.compile(rb"%(?:22|0D|0A)")
_ENCODED_WORDS: Final = re.compile(r"(?:\s*=\?[\w-]+\?[BbQq]\?[^?\s]*\?=)+\s*")
_ENCODED_WORD: Final = re.compile(r"=\?([\w-]+)\?([BbQq])\?([^?\s]*)\?=")
_CHARSETS: Final = frozenset({"utf-8", "utf8", "iso-8859-1", "latin-1", "latin1", "us-ascii", "ascii"})
"""Some of Python's others make text that cannot be written anywhere, and it remembers each name that it does not know."""
_EXTENDED: Final = re.compile(rb"([\w-]+)'[\w-]*'(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Disposition:
    """What a part says of itself: its kind, the name of its field and of its file; None for what it does not say."""

    kind: str
    name: str | None = None
    file_name: str | None = None


def parse_disposition(value: bytes) -> Disposition:
    """Parse the value of the header field. Of a parameter that comes twice the first counts, of both forms the extended one."""
    kind, _, _ = value.partition(b";")
    found: dict[bytes, bytes] = {}
    for key, text in _parameters(value):
        found.setdefault(key, text)
    file_name = _parameter(found, b"filename")
    return Disposition(
        kind.strip().lower().decode("latin-1"),
        _parameter(found, b"name"),
        None if file_name is None else _without_path(file_name),
    )


def _parameters(value: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = value.find(b";")
    while at >= 0 and (equals := value.find(b"=", at)) >= 0:
        key = value[at:equals].rpartition(b";")[2].strip().lower()
        rest = value[equals + 1 :].lstrip()
        if not rest.startswith(b'"'):
            yield key, rest.partition(b";")[0].strip()
            at = value.find(b";", equals)
        elif quoted := _QUOTED.match(rest):
            yield key, _ESCAPED.sub(rb"\1", quoted.group(1))
            at = value.find(b";", len(value) - len(rest) + quoted.end())
        else:
            # A browser's name with a backslash at its end, which seems to escape the quote.
            yield key, rest[1:].rstrip().removesuffix(b'"')
            return


def _parameter(found: dict[bytes, bytes], key: bytes) -> str | None:
    extended, plain = found.get(key + b"*"), found.get(key)
    decoded = None if extended is None else _extended(extended)
    if decoded is not None:
        return decoded
    if plain is None:
        return None if extended is None else extended.decode("utf-8", "replace")
    plain = _FORM_ESCAPED.sub(lambda match: _FORM_ESCAPES[match.group()], plain)
    return _encoded_words(plain.decode("utf-8", "replace"))


def _extended(value: bytes) -> str | None:
    """Return a value as RFC 8187 encodes it (before, RFC 5987); None for one that is broken, which does not count."""
    match = _EXTENDED.fullmatch(value)
    if match is None:
        return None
    try:
        return _text(unquote_to_bytes(match.group(2)), match.group(1).decode("ascii"))
    except (LookupError, ValueError):
        return None


def _encoded_words(text: str) -> str:
    """Return a text that is nothing but encoded words (RFC 2047, as .NET writes names) decoded, any other as it is."""
    if not _ENCODED_WORDS.fullmatch(text):
        return text
    try:
        return "".join(_decoded(*match.groups()) for match in _ENCODED_WORD.finditer(text))
    except (LookupError, ValueError, NotBase64):
        return text


def _decoded(charset: str, encoding: str, word: str) -> str:
    data = b64decode(word) if encoding in "Bb" else decodestring(word.encode(), header=True)
    return _text(data, charset)


def _text(data: bytes, charset: str) -> str:
    if charset.lower() not in _CHARSETS:
        raise LookupError(charset)
    return data.decode(charset)


def _without_path(name: str) -> str:
    """Return a name without the path on Windows that old browsers put in front of it."""
    if name[1:3] == ":\\" or name.startswith("\\\\"):
        return name.rpartition("\\")[2]
    return name
