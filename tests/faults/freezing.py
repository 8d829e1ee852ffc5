"""Servers that hang: stopped in the middle, they keep their connections, take new ones, and say nothing."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def below(pid: int) -> list[int]:
    """Return the processes that a process has started, and those that these have."""
    found: list[int] = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += [int(child), *below(int(child))]
    return found


class Freezer:
    """What belongs to a server, by the process that keeps it alive."""

    def __init__(self, lifeline: int) -> None:
        self._lifeline = lifeline
        self._frozen: list[int] = []

    def freeze(self) -> None:
        """Stop all of it."""
        # Once more for those that were started meanwhile.
        for _ in range(2):
            for pid in below(self._lifeline):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
                self._frozen.append(pid)

    def thaw(self) -> None:
        """Have it go on."""
        for pid in self._frozen:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._frozen.clear()


@contextmanager
def frozen(lifeline: int) -> Iterator[Freezer]:
    """Freeze a server for the length of the block, unless it is thawed before."""
    freezer = Freezer(lifeline)
    freezer.freeze()
    try:
        yield freezer
    finally:
        freezer.thaw()
