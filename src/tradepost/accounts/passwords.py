"""Argon2id in a bounded thread pool: a hash takes tens of milliseconds, and a flood of log-ins must not stop the loop."""

import asyncio
import base64
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar

import argon2

from tradepost.core.batching.bulkhead import Bulkhead
from tradepost.core.errors import Unavailable

T = TypeVar("T")

WAITING_PER_CORE: Final = 32
"""Hashes that may wait for each core, about 1.4 s of work; one more is told to come back."""
DECOY: Final = f"$argon2id$v=19$m=19456,t=2,p=1${'A' * 22}${'A' * 43}"
"""The hash of no password, as slow to look at as a real one. Made by hashing at the start it would hold its memory for ever."""


class PasswordHasher:
    """Hashes and verifies with OWASP's profile (19 MiB, t=2, p=1), as many at a time as there are cores."""

    def __init__(self) -> None:
        self._argon2 = argon2.PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        # The cores that this process may use: fewer than there are where it is pinned to some of them.
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._threads = ThreadPoolExecutor(cores, thread_name_prefix="argon2")
        self.places = Bulkhead(cores, waiting=cores * WAITING_PER_CORE, refusal=Unavailable)

    async def hash(self, password: str, *, salt: bytes | None = None) -> str:
        """Return the encoded hash of ``password`` with this salt, or a fresh one."""
        work = self._argon2.hash if salt is None else partial(self._argon2.hash, salt=salt)
        return await self._run(work, password)

    async def hash_like(self, encoded: str, secret: str) -> str:
        """Return the hash of ``secret`` with the salt and the parameters of ``encoded``: equal if it is the same secret."""
        return await self._run(_hashed_like, encoded, secret)

    async def verify(self, encoded: str | None, password: str) -> bool:
        """Tell whether ``password`` is the one behind ``encoded``; as slow for None as for a real hash."""
        matches = await self._run(self._matches, encoded or DECOY, password)
        return matches and encoded is not None

    def is_outdated(self, encoded: str) -> bool:
        """Tell whether ``encoded`` was made with other parameters than today's."""
        return self._argon2.check_needs_rehash(encoded)

    def close(self) -> None:
        """Let the running hashes finish and take no more."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _matches(self, encoded: str, password: str) -> bool:
        try:
            return self._argon2.verify(encoded, password)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False

    async def _run(self, work: Callable[..., T], *arguments: str) -> T:
        await self.places.enter()
        try:
            job = asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *arguments))
        except BaseException:
            self.places.leave()
            raise
        return await self.places.until_done(job)


def _hashed_like(encoded: str, secret: str) -> str:
    salt = encoded.split("$")[-2]
    hasher = argon2.PasswordHasher.from_parameters(argon2.extract_parameters(encoded))
    return hasher.hash(secret, salt=base64.b64decode(salt + "=" * (-len(salt) % 4)))
