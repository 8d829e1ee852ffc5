"""The pool that passwords are hashed in."""

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest

from tradepost.accounts.passwords import WAITING_PER_CORE, PasswordHasher
from tradepost.core.errors import Unavailable

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="this system does not tell which cores may be used"
)


@pytest.fixture
def hasher() -> Iterator[PasswordHasher]:
    made = PasswordHasher()
    yield made
    made.close()


class SlowPasswords:
    """Stands in for the hash itself, and lasts until it is told to end."""

    def __init__(self) -> None:
        self.end = threading.Event()
        self.running = threading.Semaphore(0)

    def hash(self, password: str) -> str:
        self.running.release()
        self.end.wait(30)
        return password


async def test_a_place_is_given_back_by_the_thread_and_not_by_its_caller(
    hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    cores = len(os.sched_getaffinity(0))
    waiting = cores * WAITING_PER_CORE
    slow = SlowPasswords()
    monkeypatch.setattr(hasher, "_argon2", slow)
    callers = [asyncio.create_task(hasher.hash("x")) for _ in range(cores + waiting)]
    try:
        for _ in range(cores):
            assert await asyncio.to_thread(slow.running.acquire, timeout=10)
        with pytest.raises(Unavailable):
            await asyncio.wait_for(hasher.hash("y"), 5)
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        # Who waited has left the queue; the threads are as busy as before.
        callers = [asyncio.create_task(hasher.hash("x")) for _ in range(waiting)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await asyncio.wait_for(hasher.hash("y"), 5)
    finally:
        slow.end.set()
    assert await asyncio.gather(*callers) == ["x"] * waiting
    assert await hasher.hash("z") == "z"


async def test_as_many_threads_as_cores_that_may_be_used() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        hasher = PasswordHasher()
    finally:
        os.sched_setaffinity(0, allowed)
    slow = [asyncio.create_task(hasher.hash("Password1")) for _ in range(1 + WAITING_PER_CORE)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await hasher.hash("Password1")
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    hasher.close()
