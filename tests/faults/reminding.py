"""A ``tradepost worker`` that kills itself at a step of a reminder's way: ``python -m tests.faults.reminding [STEP]``.

Its settings come from the environment, as an operator's do.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tradepost.cli.running import load_settings
from tradepost.events.announcements import Announcer, ReminderJob
from tradepost.events.repository.reminders import ReminderRepository
from tradepost.notifications.fan_out import NotificationFanOut
from tradepost.worker import work

STEPS: Final[dict[str, tuple[type[Any], str]]] = {
    "its row is gone, and nothing committed": (ReminderRepository, "delete"),
    "it is announced, and that committed": (ReminderJob, "_send_some"),
    "participants are told, and nothing committed": (Announcer, "react"),
    "inboxes are written, and nothing committed": (NotificationFanOut, "react"),
}
"""After what the process ends."""


def doom(owner: type[Any], method: str) -> None:
    """Have a process end, as by a power cut, after a method that has done something."""
    original: Callable[..., Awaitable[Any]] = getattr(owner, method)

    async def last(*arguments: Any, **options: Any) -> Any:
        done = await original(*arguments, **options)
        if done != 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    setattr(owner, method, last)


if __name__ == "__main__":
    for step in sys.argv[1:]:
        doom(*STEPS[step])
    asyncio.run(work(load_settings()))
