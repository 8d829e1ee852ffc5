"""Deadlines: when nobody waits any more for what a task does, whatever the task waits for ends.

A deadline travels with its task in one context variable. Its end is a cancellation, which every wait hears of without a timer
of its own; where one must end in another way than by being torn off (a statement, whose connection would be lost with it),
the cancellation is taken back there, and an error takes its place. A commit is not ended, and a read that several share has a
deadline of its own, which comes when the last of them has left.
"""

import asyncio
from contextvars import ContextVar
from enum import IntEnum
from typing import Any, Final

from tradepost.core.errors import TradepostError, Unavailable


class DeadlineExceeded(TradepostError):
    """The time of a request was up in the middle of its work, which may or may not be done."""

    status = 504
    code = "DEADLINE_EXCEEDED"
    detail = "The request ran out of time"


class NotBegun(Unavailable):
    """The time of a request was up before its work began: nothing was changed."""

    detail = "The request ran out of time before it was begun"


class Stage(IntEnum):
    """How far a task has come with what it is for."""

    NOTHING = 0
    """It waits, or has found out who asks."""
    READING = 1
    WRITING = 2
    """Something may have been changed."""


_NOTHING: Final = Stage.NOTHING  # looking a member up costs as much as making an object


class Deadline:
    """The deadline of a task, and the stage that the task has come to."""

    __slots__ = ("_cancellations", "is_over", "stage", "task")

    def __init__(self, task: "asyncio.Task[Any] | None" = None) -> None:
        self.task = task
        self._cancellations = 0
        self.stage = _NOTHING
        self.is_over = False

    def end(self) -> None:
        """Have whatever the task waits for end."""
        self.is_over = True
        if self.task is not None and self.task.cancel():
            self._cancellations += 1

    def progressed(self) -> None:
        """Note that long work goes on; the deadline of a request counts from here then."""

    def take_back(self) -> bool:
        """Tell whether the cancellation that was just raised is this deadline's, and take it back if it is."""
        task = self.task
        if task is None or not self._cancellations or task is not asyncio.current_task():
            return False
        if task.cancelling() > self._cancellations:
            # Somebody else has cancelled the task as well, and must be heard.
            return False
        self._cancellations -= 1
        task.uncancel()
        return True


deadline: Final[ContextVar[Deadline | None]] = ContextVar("deadline", default=None)
"""The deadline of the task that runs, if it has one; tasks that it starts know of it, and are not ended by it."""


def taken_back() -> bool:
    """Tell whether the cancellation that was just raised is the deadline's of this task; it is taken back then."""
    current = deadline.get()
    return current is not None and current.take_back()


def note_stage(stage: Stage) -> None:
    """Note how far the task that runs has come."""
    current = deadline.get()
    if current is not None and current.stage < stage:
        current.stage = stage


def note_progress() -> None:
    """Note that long work goes on, such as a body that comes: it has no deadline as a whole, but each step has."""
    current = deadline.get()
    if current is not None:
        current.progressed()
