"""Waits in queues, after CoDel (RFC 8289): the smallest of the last moments tells a queue that stands from one that comes and goes.

A burst fills a queue that drains at once: its last wait is long, its next is nothing. A queue that stands makes everybody
wait, the luckiest too; no answer's duration, which depends on the question, says that.
"""

import math
from collections import deque
from collections.abc import Callable
from typing import Final, Literal
from weakref import WeakSet

from tradepost.core.clock import SystemClock

WINDOW: Final = 0.1
"""Seconds that are the last moments."""
LOOKS: Final = 3
"""So many looks are in them at least: on a machine that stood still, one says nothing."""

monotonic: Final = SystemClock().monotonic
"""The time by which waits are told: the loop's own stands still within a turn."""

PATIENCE: Final = 0.03
"""Seconds that a read may wait while more is under way than fits; who waited longer is refused for one who just came.

To serve the newest first instead was tried in simulations: its median is a third, but it refuses more of those who waited, and
answers a twentieth less.
"""

Kind = Literal["turn", "lane", "connection"]
"""What is waited for."""

_shared: "WeakSet[Waits]" = WeakSet()


class Waits:
    """The waits in one queue; ``came`` returns when the first who waits there now has come, None while nobody does."""

    __slots__ = ("__weakref__", "_came", "_looks", "_smallest", "back_after", "impatient", "kind")

    def __init__(self, kind: Kind, came: Callable[[], float | None] = lambda: None) -> None:
        self.kind = kind
        self.impatient = False
        """Whether who has waited for longer than ``PATIENCE`` is refused."""
        self.back_after: Callable[[], int] = lambda: 1
        """Draws after how many seconds such a one is to come back."""
        self._came = came
        self._smallest = math.inf
        # When each look was, and the smallest wait since the one before it.
        self._looks: deque[tuple[float, float]] = deque()

    @classmethod
    def shared(cls, kind: Kind, came: Callable[[], float | None]) -> "Waits":
        """Return the waits of a queue that this process's overload control looks at, for as long as there is the queue."""
        waits = cls(kind, came)
        _shared.add(waits)
        return waits

    def ended(self, seconds: float) -> None:
        """Note that somebody's turn has come after so long."""
        self._smallest = min(self._smallest, seconds)

    def forget(self) -> None:
        """Begin anew, after a time without looks."""
        self._smallest = math.inf
        self._looks.clear()

    def look(self, now: float, *, otherwise: float = 0.0) -> float:
        """Return the smallest wait of the last moments, 0 until they have been looked at.

        Nobody's turn came since the last look: then the first who waits has waited that long. Nobody waits: ``otherwise``.
        """
        smallest = self._smallest
        if smallest is math.inf:
            came = self._came()
            smallest = otherwise if came is None else max(0.0, now - came)
        self._smallest = math.inf
        looks = self._looks
        looks.append((now, smallest))
        while len(looks) > LOOKS and looks[1][0] <= now - WINDOW:
            looks.popleft()
        if len(looks) < LOOKS or looks[0][0] > now - WINDOW:
            return 0.0
        return min([wait for _, wait in looks])


def all_shared() -> list[Waits]:
    """Return the queues of this process."""
    return list(_shared)
