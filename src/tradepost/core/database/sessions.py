"""Read and write sessions as types: a function says in its signature whether it may write."""

from collections.abc import Callable
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession


class ReadSession(AsyncSession):
    """A session in autocommit mode, for reading only: each statement sees what was committed before it began."""


class WriteSession(AsyncSession):
    """A session that is one transaction. ``Database.transaction`` commits it; code that is handed it never does."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.committed_callbacks: list[Callable[[], None]] = []

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once the transaction is durable, and never if it is rolled back.

        A crash in between loses the call: it is for signals, such as waking a task or forgetting a cached value, not for
        facts, which belong in the outbox.
        """
        self.committed_callbacks.append(callback)
