"""The line of a request."""

import json
import logging as standard
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.clock import MovableClock
from tradepost.core.observability.access_log import AccessLog
from tradepost.core.principal import ApiKeyTerms


class Sheet:
    """Takes lines in place of a writer."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def write(self, line: bytes) -> None:
        self.lines.append(line)


MOMENT = datetime(2026, 11, 23, 1, 2, 3, 456789, UTC)
REQUEST: dict[str, Any] = {
    "request_id": "abc-1",
    "method": "GET",
    "template": "/items/{item_id}",
    "status": 200,
    "seconds": 0.0123456,
    "person": 7,
    "error_code": None,
}


def access_log(**options: Any) -> tuple[Callable[..., None], Sheet]:
    sheet = Sheet()
    return AccessLog(sheet, clock=MovableClock(stopped_at=MOMENT), **options).write, sheet  # type: ignore[arg-type]


def test_a_line_names_the_trace_that_its_request_is_in() -> None:
    write, sheet = access_log()
    write(**REQUEST, trace="0af7")
    write(**REQUEST | {"error_code": "HTTP_404"}, trace="0af7")
    traced, failed = map(json.loads, sheet.lines)
    assert traced["trace_id"] == failed["trace_id"] == "0af7"
    assert failed["error_code"] == "HTTP_404"


def test_a_request_is_one_line_of_json() -> None:
    write, sheet = access_log()
    write(**REQUEST)
    write(**REQUEST | {"status": 503, "person": None, "error_code": "HTTP_503"})
    assert [json.loads(line) for line in sheet.lines] == [
        {
            "timestamp": "2026-11-23T01:02:03.456Z", "level": "info", "event": "request", "request_id": "abc-1",
            "method": "GET", "route": "/items/{item_id}", "status": 200, "duration_ms": 12.35, "person": 7,
        },
        {
            "timestamp": "2026-11-23T01:02:03.456Z", "level": "error", "event": "request", "request_id": "abc-1",
            "method": "GET", "route": "/items/{item_id}", "status": 503, "duration_ms": 12.35, "person": None,
            "error_code": "HTTP_503",
        },
    ]  # fmt: skip
    assert all(line.endswith(b"\n") for line in sheet.lines)


def test_an_api_key_is_named_by_its_prefix() -> None:
    write, sheet = access_log()
    write(**REQUEST, key=ApiKeyTerms(3, "k3vq7mzw2dha"))
    write(**REQUEST | {"error_code": "X"}, key=ApiKeyTerms(3, "k3vq7mzw2dha", lifts_limits=True))
    plain, test = map(json.loads, sheet.lines)
    assert (plain["api_key"], plain["load_test"]) == ("k3vq7mzw2dha", False)
    assert (test["api_key"], test["load_test"], test["error_code"]) == ("k3vq7mzw2dha", True, "X")
    write, sheet = access_log(readable=True)
    write(**REQUEST, key=ApiKeyTerms(3, "k3vq7mzw2dha", lifts_limits=True))
    assert b" person=7 key=k3vq7mzw2dha load_test abc-1\n" in sheet.lines[0]


def test_above_info_only_failures_are_written() -> None:
    write, sheet = access_log(level=standard.WARNING)
    write(**REQUEST)
    write(**REQUEST | {"status": 404})
    assert sheet.lines == []
    write(**REQUEST | {"status": 500})
    assert len(sheet.lines) == 1


def test_a_person_at_a_terminal_reads_words() -> None:
    write, sheet = access_log(readable=True)
    write(**REQUEST | {"error_code": "X"})
    assert sheet.lines == [b"01:02:03 200 GET /items/{item_id} 12.3 ms person=7 X abc-1\n"]


def test_each_line_has_its_own_time() -> None:
    sheet, clock = Sheet(), MovableClock(stopped_at=MOMENT)
    log = AccessLog(sheet, clock=clock)  # type: ignore[arg-type]
    for step in (0.0, 0.5434, 0.0006, 60.0, -60.001, 0.0):
        clock.move(step)
        log.write(**REQUEST)
    assert [json.loads(line)["timestamp"][14:] for line in sheet.lines] == [
        "02:03.456Z", "02:04.000Z", "02:04.000Z", "03:04.000Z", "02:03.999Z", "02:03.999Z",
    ]  # fmt: skip
