"""Entity tags: which state of a resource an answer shows, and which states a client holds or is ready to change (RFC 9110, 13).

A tag is ``"<version>-<hash>"``. The version counts the changes of the resource, so two writers that started from one version
are told apart; the hash covers everything else that the bytes are made of, such as views or the name of an owner, so that
no client keeps bytes that would be others now. A write compares versions alone: somebody who only looked at an item
refuses nobody's change.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import version as version_of
from typing import Any, Final

from tradepost.core.errors import MalformedHeader, PreconditionFailed
from tradepost.core.wire.row_json import to_json

HASH_BYTES: Final = 8
RELEASE: Final = version_of("tradepost")
"""Part of every hash: the next release may write the same row in another way."""
_RELEASED: Final = f"{RELEASE}\0".encode()


class Representation:
    """One resource as an answer shows it: its version, its strong entity tag, and its bytes once somebody wants them.

    ``made_of`` is whatever the bytes depend on besides the version, as a value that has a JSON. Whoever holds the tag is answered without bytes, so they
    are written at the first look at ``body``, and once for all requests that share a read.
    """

    __slots__ = ("_body", "_write", "etag", "version")

    def __init__(self, version: int, made_of: Any, write: Callable[[], bytes]) -> None:
        digest = blake2b(_RELEASED + to_json(made_of), digest_size=HASH_BYTES).hexdigest()
        self.version = version
        self.etag = f'"{version}-{digest}"'
        self._write = write
        self._body: bytes | None = None

    @classmethod
    def known(cls, etag: str, body: bytes) -> "Representation":
        """Return the one that an earlier answer showed, whatever its resource is like now."""
        shown = cls(int(etag[1:].partition("-")[0]), "", lambda: body)
        shown.etag = etag
        return shown

    @property
    def body(self) -> bytes:
        """The JSON of the resource."""
        if self._body is None:
            self._body = self._write()
        return self._body


@dataclass(frozen=True, slots=True)
class KnownTags:
    """What a client holds already (If-None-Match): entity tags without their quotes, None for any.

    Tags are compared weakly, and without the coding that the end of a tag may name: ``3-5f;gzip`` is the state ``3-5f``.
    """

    tags: tuple[str, ...] | None = ()

    def matching(self, etag: str) -> str | None:
        """Return the tag, in quotes, by which the client knows what has this ``etag``; None if it does not."""
        if self.tags is None:
            return etag
        if self.tags:
            current = etag[1:-1]
            for tag in self.tags:
                if tag.partition(";")[0] == current:
                    return f'"{tag}"'
        return None


NOTHING_KNOWN: Final = KnownTags()


@dataclass(frozen=True, slots=True)
class Expected:
    """The versions that a writer is ready to change (If-Match); None for any."""

    versions: frozenset[int] | None = None

    async def check(self, version: int, current: Callable[[], Awaitable[Representation]]) -> None:
        """Raise ``PreconditionFailed`` with the current entity tag unless ``version`` is expected.

        For a row that is locked: nobody changes it between this look and the write, which names the version once more.
        ``current`` reads what the tag is made of, only where it is needed.
        """
        if self.versions is not None and version not in self.versions:
            self.check_shown(await current())

    def check_shown(self, current: Representation) -> None:
        """Raise ``PreconditionFailed`` likewise, where all that is shown has been read."""
        if self.versions is not None and current.version not in self.versions:
            raise PreconditionFailed(current.etag)


ANY_VERSION: Final = Expected()

_TAG: Final = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*+"'
_TAGS: Final = re.compile(rf"[ \t,]*+{_TAG}(?:[ \t]*+,[ \t,]*+{_TAG})*+[ \t,]*+")
_EACH: Final = re.compile(r'(W/)?"([^"]*+)"')
_VERSION: Final = re.compile(r"([1-9][0-9]{0,8})-")
"""Within what the column of a version can hold."""


def no_tags(name: str) -> str:
    """Return what is wrong with a header that is no list of entity tags."""
    return f'{name} is neither * nor a list of entity tags in double quotes, such as "3-5f2c81aa09d4e7b6"'


def _tags(name: str, lines: Sequence[str]) -> list[tuple[str, str]] | None:
    """Return weakness and text of each entity tag of a header's lines; None for ``*``."""
    value = ", ".join(lines)
    if value.strip(" \t") == "*":
        return None
    if _TAGS.fullmatch(value) is None:
        raise MalformedHeader(no_tags(name))
    return _EACH.findall(value)


def known_tags(lines: Sequence[str]) -> KnownTags:
    """Return what the lines of an If-None-Match say; ``MalformedHeader`` if they say nothing."""
    tags = _tags("If-None-Match", lines)
    return KnownTags(None if tags is None else tuple(tag for _, tag in tags))


def expected_versions(lines: Sequence[str]) -> Expected:
    """Return what the lines of an If-Match say; ``MalformedHeader`` if they say nothing.

    A weak tag never matches, and neither does one that is not of our making.
    """
    tags = _tags("If-Match", lines)
    if tags is None:
        return ANY_VERSION
    versions = (_VERSION.match(tag) for weak, tag in tags if not weak)
    return Expected(frozenset(int(found[1]) for found in versions if found is not None))
