"""An event loop whose timers are exact to a fraction of a millisecond.

asyncio's and libuv's wait in whole milliseconds: as much as an answer takes. What falls due in between would be sent late, and
the lateness counted as the server's.
"""

import asyncio
import select
import selectors
import sys
from typing import Final

from typing_extensions import override

_SHORTEST: Final = 0.00005
"""Seconds below which it is not worth the while to wait."""


if sys.platform == "linux":

    class _EpollSelector(selectors.EpollSelector):
        """Epoll, waited for by select() on its own descriptor, which takes microseconds."""

        @override
        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if timeout is not None and timeout > _SHORTEST:
                select.select([self.fileno()], [], [], timeout)
                timeout = 0
            return super().select(timeout)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a loop with exact timers."""
    return asyncio.SelectorEventLoop(_EpollSelector() if sys.platform == "linux" else None)
