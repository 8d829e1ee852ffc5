"""The clock of the tests: the machine's own, moved by hand."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from typing_extensions import override

from tradepost.core.clock import SystemClock

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
"""Where a clock stands that a test stops, unless it says where."""


class MovableClock(SystemClock):
    """Runs as the machine's clock does, as far ahead of it as it was moved; chance is always the middle.

    With ``stopped_at`` it stands still except when it is moved, so that a test can set an age or a pause exactly.
    """

    def __init__(self, *, stopped_at: datetime | None = None) -> None:
        self._ahead = 0.0
        self._stopped = (stopped_at, 0.0) if stopped_at else None

    @property
    def is_at_start(self) -> bool:
        """Whether it shows what it would had nobody touched it."""
        return self._ahead == 0.0 and self._stopped is None

    def move(self, by: float | timedelta) -> None:
        """Set the clock forward by so many seconds, or back by a negative number of them."""
        self._ahead += by.total_seconds() if isinstance(by, timedelta) else by

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stand still for the length of the block, except when moved."""
        self._stopped = super().now(), super().monotonic()
        try:
            yield
        finally:
            self._stopped = None

    @override
    def now(self) -> datetime:
        at = self._stopped[0] if self._stopped else super().now()
        return at + timedelta(seconds=self._ahead)

    @override
    def monotonic(self) -> float:
        return self._ahead + (self._stopped[1] if self._stopped else super().monotonic())

    @override
    def chance(self) -> float:
        return 0.5


def stopped_clock() -> MovableClock:
    """Return a clock that stands still until it is moved."""
    return MovableClock(stopped_at=NOON)
