"""Log lines say moments, durations and enumerations as JSON has them, in both renderings."""

import io
import json
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, StrEnum
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest

from tradepost.core.observability.plain_values import plain


class State(StrEnum):
    """An enumeration of texts."""

    DEAD = "dead"


class Number(Enum):
    """An enumeration of numbers."""

    ONE = 1


NOON = datetime(2026, 11, 28, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (NOON, "2026-11-28T12:00:00.123Z"),
        (NOON.astimezone(timezone(timedelta(hours=2))), "2026-11-28T12:00:00.123Z"),
        (datetime(2026, 11, 28, 12), "2026-11-28T12:00:00"),  # noqa: DTZ001 - a naive one is the case
        (date(2026, 11, 28), "2026-11-28"),
        (timedelta(minutes=1.5), 90.0),
        (State.DEAD, "dead"),
        (Number.ONE, 1),
        (Decimal("1.50"), "1.50"),
        (PurePosixPath("/a/b"), "/a/b"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ({State.DEAD: [NOON, (timedelta(seconds=2),)]}, {"dead": ["2026-11-28T12:00:00.123Z", [2.0]]}),
        (None, None),
        (True, True),
        ("text", "text"),
    ],
)
def test_a_value_is_plain(value: Any, shown: Any) -> None:
    found = plain(value)
    assert found == shown
    assert type(found) is type(shown)
    json.dumps(found)


def test_what_is_too_deep_or_unknown_ends_as_text() -> None:
    endless: list[Any] = []
    endless.append(endless)
    json.dumps(plain(endless))
    assert plain(io).startswith("<module")


PROGRAM = """
import enum, structlog
from datetime import UTC, datetime
from tradepost.core.observability import logging
logging.configure(readable={readable})
state = enum.StrEnum("State", ["DEAD"]).DEAD
structlog.get_logger("tradepost.part").warning("delivery failed", due_at=datetime(2026, 11, 28, 12, tzinfo=UTC), outcome=state)
"""


@pytest.mark.parametrize("readable", [True, False])
def test_no_rendering_shows_a_constructor(*, readable: bool) -> None:
    program = PROGRAM.format(readable=readable)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert "2026-11-28T12:00:00.000Z" in done.stderr
    assert "datetime." not in done.stderr
    assert "State." not in done.stderr
