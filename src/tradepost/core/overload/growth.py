"""Whether more comes than goes: what tells an overload from clients that each wait for their answer before they ask again.

A hundred such clients make a queue of a hundred, however slow the server: it stands, and it does not grow. Nobody has to be
refused for it. Where people come on their own, and too many of them, the queue is longer than ever at each look.
"""

from collections import deque
from typing import Final

SHARE: Final = 0.1
"""The part of what came by which it has to be longer than ever before."""
REMEMBERED: Final = 120
"""Steps in which it was never as long: some seconds."""


class Growth:
    """Follows the length of a queue in windows of ``steps``, and says in how many ``of`` the last ones it grew.

    Short windows tell soon that far more comes than goes, long ones that a little more does. The longest moments are compared:
    where many are served at once, in groups, the queue is short after each.
    """

    def __init__(self, *, steps: int, of: int) -> None:
        self._size = steps
        self._longest: deque[int] = deque(maxlen=REMEMBERED // steps)
        self._grew: deque[bool] = deque(maxlen=of)
        self._came = 0
        self._steps = 0
        self._top = 0

    @property
    def windows(self) -> int:
        """In how many of the last windows it grew: requests come in bunches, and in some windows none."""
        return sum(self._grew)

    def step(self, came: int, length: int) -> None:
        """Note how many came since the last step, and how many wait now."""
        self._came += came
        self._steps += 1
        self._top = max(self._top, length)
        if self._steps < self._size:
            return
        grew = self._top - max(self._longest, default=0)
        self._grew.append(grew > max(1.0, SHARE * self._came))
        self._longest.append(self._top)
        self._came = self._steps = self._top = 0

    def forget(self) -> None:
        """Begin anew, after a time without steps."""
        self._longest.clear()
        self._grew.clear()
        self._came = self._steps = self._top = 0
