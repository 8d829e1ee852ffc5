"""The two kinds of database session, as types: one that only reads, and one that is a transaction."""

from collections.abc import Callable
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession


class ReadSession(AsyncSession):
    """Reads without a transaction: each statement sees what was committed before it began. Never writes."""


class WriteSession(AsyncSession):
    """One transaction. Whoever opened it commits; nobody who is handed it does."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.committed_callbacks: list[Callable[[], None]] = []

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called once the transaction is durable, and never if it is rolled back.

        A crash in between loses the call: for signals, such as waking somebody or forgetting a cached row, not for facts.
        """
        self.committed_callbacks.append(callback)
