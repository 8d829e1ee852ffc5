"""The port of a store of bytes, and its errors."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from tradepost.core.errors import NoSpaceLeft, Unavailable

_KEY: Final = re.compile(r"[A-Za-z0-9_-]{16,64}(?:\.[a-z0-9_-]{1,32}){0,3}")


class StorageFull(NoSpaceLeft):
    """The store has no room left."""


class StorageUnavailable(Unavailable):
    """The store cannot be reached or does not do as it is told."""

    code = "STORAGE_UNAVAILABLE"
    detail = "File storage is not available"


class StorageBusy(Unavailable):
    """As much is being stored at once as there is memory for."""

    detail = "Too many uploads at once"


class NoSuchKey(LookupError):
    """The store is well and has nothing under this key."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store was given to keep: its length in bytes and its SHA-256 in hexadecimal."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A key that bytes, or a part of them, are kept under, and when they were last written."""

    key: str
    written_at: datetime


class Storage(Protocol):
    """Keeps bytes under keys of our own making.

    A key is never part of anything a client wrote: ``checked`` holds it to letters, digits, ``_``, ``-`` and dots between
    them. All but ``NoSuchKey`` is raised as ``StorageFull``, ``StorageUnavailable`` or ``StorageBusy``.
    """

    async def put(self, key: str, content: AsyncIterator[bytes]) -> Stored:
        """Keep all of ``content`` under a new key, in bounded memory; durable when it returns.

        If ``content`` raises, or the store fails, or the caller is cancelled, nothing is kept. A process that dies in the
        middle may leave a part: ``delete`` of the key removes that too.
        """
        ...

    def open(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Give the bytes from ``start`` up to, not including, ``end``, which is not past the last, in chunks up to 1 MiB.

        Entering the block finds out whether there is anything to be read: ``NoSuchKey`` if not.
        """
        ...

    async def delete(self, key: str) -> None:
        """Delete what is kept under a key, if anything is; durable when it returns."""
        ...

    async def size(self, key: str) -> int | None:
        """Return how many bytes are kept under a key; None for nothing."""
        ...

    async def list(self, *, after: str, limit: int) -> Sequence[Listed]:
        """Return at most ``limit`` keys that sort after ``after``, in their order; parts that a crash left among them."""
        ...

    async def check(self) -> None:
        """Return if the store is well, else raise."""
        ...

    async def close(self) -> None:
        """Let go of threads and connections."""
        ...


def checked(key: str) -> str:
    """Return ``key`` if it is one; a fault of ours otherwise."""
    if not is_key(key):
        raise ValueError("not a key of the storage")
    return key


def is_key(text: str) -> bool:
    """Tell whether ``text`` is a key of our making. Others may keep things of their own beside ours."""
    return _KEY.fullmatch(text) is not None
