"""Failures that last are told once, and then counted."""

import asyncio
import errno
from typing import Any

import pytest

from tests.clock import stopped_clock
from tradepost.core.observability.incidents import PERIOD, Incidents, root_cause


def failing(number: int = errno.EIO, path: str = "/data/1") -> Exception:
    error = RuntimeError("not available")
    error.__cause__ = OSError(number, "failed", path)
    return error


def test_one_cause_is_told_once_a_minute() -> None:
    clock = stopped_clock()
    lines: list[dict[str, Any]] = []
    incidents = Incidents(clock, lambda event, **fields: lines.append({"event": event, **fields}))
    for number in range(50):
        incidents.report("upload failed", failing(path=f"/data/{number}"))
        clock.move(1)
    assert len(lines) == 1
    assert lines[0]["exc_info"] is not None
    assert "Errno 5" in lines[0]["reason"]
    clock.move(PERIOD - 50)
    incidents.report("upload failed", failing())
    assert [line.get("again") for line in lines] == [None, 50]
    incidents.report("upload failed", failing(errno.ENOSPC))
    incidents.report("download failed", failing())
    assert len(lines) == 4, "another cause and another event are told at once"
    clock.move(PERIOD + 1)
    incidents.report("upload failed", failing())
    assert lines[-1]["exc_info"] is not None, "it was over in between"


def test_causes_without_number_do_not_fill_the_memory() -> None:
    incidents = Incidents(stopped_clock(), lambda *_, **__: None)
    for number in range(1000):
        incidents.report("x" * (number % 300), ValueError("y"))
    assert len(incidents._known) <= 100


async def test_the_root_of_a_wait_that_takes_too_long_is_its_time_limit() -> None:
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()
    assert root_cause(caught.value) == "TimeoutError"


def test_the_root_is_what_an_error_came_from() -> None:
    assert root_cause(failing()) == "OSError: [Errno 5] failed: '/data/1'"
    assert root_cause(ValueError("first\nsecond")) == "ValueError: first"
    assert root_cause(KeyError()) == "KeyError"
