"""Logging as a whole process has it."""

import json
import logging as standard
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from tradepost.core.observability import logging

REQUEST: dict[str, Any] = {
    "request_id": "abc-1",
    "method": "GET",
    "template": "/items/{item_id}",
    "status": 200,
    "seconds": 0.0123456,
    "person": 7,
    "error_code": None,
}
PROGRAM = """
import logging, structlog, sys, warnings
from tradepost.core.observability import logging as ours
from tradepost.core.observability.trace_context import traceparent
write = ours.configure({level!r}).write
ours.configure({level!r})
token = ours.request_id.set("req-1")
traced = traceparent.set("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
log = structlog.get_logger("tradepost.part")
log.debug("not now")
log.info("hello", number=7, text="zoë")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("it failed")
    logging.getLogger("uvicorn.error").exception("so did %s", "this")
ours.request_id.reset(token)
traceparent.reset(traced)
logging.getLogger("uvicorn.access").info("not twice")
logging.getLogger("httpx").info("GET http://host/?token=secret")
logging.getLogger("some.library").warning("careful")
warnings.warn("old")
write(request_id="r", method="GET", template="/", status=200, seconds=0.1, person=None, error_code=None)
"""


def run(level: str, tmp_path: Path) -> list[dict[str, Any]]:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(level=level))
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_every_log_of_a_process_ends_as_json_on_standard_error(tmp_path: Path) -> None:
    lines = run("INFO", tmp_path)
    assert [(line["level"], line["event"].split(":")[0] if "program.py" in line["event"] else line["event"]) for line in lines][:4] == [
        ("info", "hello"), ("error", "it failed"), ("error", "so did this"), ("warning", "careful"),
    ]  # fmt: skip
    hello, failed, standard_failed, careful, warned, request = lines
    assert {
        "number": 7,
        "text": "zoë",
        "request_id": "req-1",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "logger": "tradepost.part",
    }.items() <= hello.items()
    assert failed["exception"] == standard_failed["exception"]
    assert failed["exception"].endswith("builtins.ZeroDivisionError: division by zero")
    assert standard_failed["request_id"] == "req-1"
    assert not {"request_id", "trace_id"} & careful.keys()
    assert "old" in warned["event"]
    assert request["event"] == "request"
    assert all(datetime.fromisoformat(line["timestamp"]).tzinfo for line in lines)


def test_the_level_counts_for_all(tmp_path: Path) -> None:
    assert [line["event"] for line in run("ERROR", tmp_path)] == ["it failed", "so did this"]


def test_nothing_is_lost_by_a_process_that_a_signal_ends(tmp_path: Path) -> None:
    program = "import os, signal, structlog; from tradepost.core.observability import logging; logging.configure(); "
    program += "log = structlog.get_logger(); log.info('before'); logging.close(); log.info('after'); "
    program += "os.kill(os.getpid(), signal.SIGKILL)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == ["before", "after"]


def test_a_stream_without_a_file_is_taken_for_standard_error(tmp_path: Path) -> None:
    program = "import io; from tradepost.core.observability.logging import configure; configure(stream=io.StringIO()); "
    program += "import structlog; structlog.get_logger().info('hello')"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(done.stderr)["event"] == "hello"


@pytest.fixture
def _own_configuration() -> Iterator[None]:
    """Put back what ``configure`` changes in this process."""
    root = standard.getLogger()
    handlers, level, configuration = root.handlers[:], root.level, structlog.get_config()
    yield
    logging.close()
    root.handlers, root.level = handlers, level
    standard.captureWarnings(capture=False)
    structlog.configure(**configuration)


@pytest.mark.usefixtures("_own_configuration")
def test_both_kinds_of_loggers_end_in_one_file(tmp_path: Path) -> None:
    standard.getLogger().handlers = []  # pytest's own fail on a line that cannot be formatted
    with (tmp_path / "log").open("w") as stream:
        access = logging.configure("WARNING", stream=stream)
        assert logging.configure("WARNING", stream=stream) is not access
        log = structlog.get_logger("tradepost.part")
        log.info("too quiet")
        log.warning("ours", exc_info=(ValueError, ValueError("v"), None))
        standard.getLogger("other").error("theirs %s", object, exc_info=ValueError("w"))
        standard.getLogger("other").error("broken %d", "text")
        try:
            json.loads("{}")["k"]
        except KeyError:
            log.exception("caught")
        access.write(**REQUEST | {"status": 500})
        logging.close()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["event"] for line in lines] == [
        "ours", "theirs <class 'object'>", "a log line could not be formatted", "caught", "request",
    ]  # fmt: skip
    assert [line["exception"].splitlines()[-1] for line in lines if "exception" in line] == [
        "builtins.ValueError: v", "builtins.ValueError: w", "builtins.KeyError: 'k'",
    ]  # fmt: skip


@pytest.mark.usefixtures("_own_configuration")
def test_a_terminal_gets_lines_for_people(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream:
        logging.configure("INFO", stream=stream, readable=True)
        structlog.get_logger().info("hello", number=7)
        logging.close()
    assert "hello" in (tmp_path / "log").read_text()
    assert not (tmp_path / "log").read_text().startswith("{")
