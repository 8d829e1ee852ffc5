"""Whether more comes than goes: what tells an overload from clients that each wait for their answer before they ask again.

A hundred such clients make a queue of a hundred, however slow the server: it stands, and it does not grow. Nobody has to be
refused for it. Where people come on their own, and too many of them, the queue is longer than ever at each look.
"""

from collections import deque
from typing import Final

STEPS: Final = 4
"""Steps of a window."""
WINDOWS: Final = 3
"""Windows in which the queue grew, until it is called growing: clients that all come at once fill one or two."""
OF: Final = 5
"""The last windows, of which so many: requests come in bunches, and in some windows none."""
SHARE: Final = 0.1
"""The part of what came by which it has to be longer than ever before."""
REMEMBERED: Final = 30
"""Windows in which it was never as long: some seconds."""


class Growth:
    """Follows the length of a queue, step by step."""

    def __init__(self) -> None:
        self._longest: deque[int] = deque(maxlen=REMEMBERED)
        self._came = 0
        self._steps = 0
        self._top = 0
        self._grew: deque[bool] = deque(maxlen=OF)

    @property
    def is_growing(self) -> bool:
        """Whether it grew in most of the last windows."""
        return sum(self._grew) >= WINDOWS

    def step(self, came: int, length: int) -> None:
        """Note how many came since the last step, and how many wait now."""
        self._came += came
        self._steps += 1
        self._top = max(self._top, length)
        if self._steps < STEPS:
            return
        grew = length - max(self._longest, default=0)
        self._grew.append(grew > max(1.0, SHARE * self._came))
        self._longest.append(self._top)
        self._came = self._steps = self._top = 0

    def forget(self) -> None:
        """Begin anew, after a time without steps."""
        self._longest.clear()
        self._grew.clear()
        self._came = self._steps = self._top = 0
