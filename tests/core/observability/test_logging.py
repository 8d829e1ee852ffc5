import json
import logging as standard
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError

from tests.clock import MovableClock
from tradepost.core.observability import logging
from tradepost.core.observability.logging import AccessLog, LogWriter, describe


class Pipe:
    """A pipe whose far end nobody reads until it is asked for."""

    def __init__(self) -> None:
        self.out, self.into = os.pipe()
        self.read: list[bytes] = []

    def drain(self) -> threading.Thread:
        def copy() -> None:
            while chunk := os.read(self.out, 65536):
                self.read.append(chunk)

        thread = threading.Thread(target=copy, daemon=True)
        thread.start()
        return thread

    def lines(self) -> list[bytes]:
        return b"".join(self.read).splitlines()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    os.close(pipe.out)


def test_lines_arrive_whole_and_in_order(pipe: Pipe) -> None:
    reader = pipe.drain()
    writer = LogWriter(pipe.into)
    for number in range(5000):
        writer.write(b"%d\n" % number)
    writer.close()
    os.close(pipe.into)
    reader.join(5)
    assert pipe.lines() == [b"%d" % number for number in range(5000)]
    assert writer.dropped == 0


def test_a_full_pipe_stops_nobody(pipe: Pipe) -> None:
    writer = LogWriter(pipe.into, max_waiting=100)
    line = b"x" * 4000 + b"\n"
    for _ in range(1000):
        writer.write(line)  # would hang here, if it waited
    assert writer.dropped > 500
    reader = pipe.drain()
    writer.close()
    os.close(pipe.into)
    reader.join(5)
    lines = pipe.lines()
    (told,) = [json.loads(found) for found in lines if found.startswith(b"{")]
    assert told == {"level": "warning", "event": "log lines dropped", "total": writer.dropped}
    assert len(lines) - 1 == 1000 - writer.dropped


def test_a_descriptor_that_is_gone_is_no_error() -> None:
    out, into = os.pipe()
    os.close(out)
    writer = LogWriter(into)
    for _ in range(10):
        writer.write(b"x\n")
    writer.close()
    os.close(into)
    assert writer.dropped > 0


def test_a_non_blocking_descriptor_loses_nothing(pipe: Pipe) -> None:
    os.set_blocking(pipe.into, False)
    writer = LogWriter(pipe.into)
    for _ in range(500):
        writer.write(b"x" * 999 + b"\n")
    reader = pipe.drain()
    writer.close()
    os.close(pipe.into)
    reader.join(5)
    assert len(pipe.lines()) == 500


def test_a_line_after_the_end_is_written_at_once(pipe: Pipe) -> None:
    writer = LogWriter(pipe.into)
    writer.close()
    writer.write(b"late\n")
    assert os.read(pipe.out, 100) == b"late\n"
    os.close(pipe.into)


# --- access lines -----------------------------------------------------------------------------------------------------


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


def access_log(**options: Any) -> tuple[AccessLog, Sheet]:
    sheet = Sheet()
    return AccessLog(sheet, clock=MovableClock(stopped_at=MOMENT), **options), sheet  # type: ignore[arg-type]


def test_a_request_is_one_line_of_json() -> None:
    write, sheet = access_log()
    write(**REQUEST)
    write(**REQUEST | {"status": 503, "person": None, "error_code": "HTTP_503"})
    assert [json.loads(line) for line in sheet.lines] == [
        {
            "timestamp": "2026-11-23T01:02:03.456+00:00", "level": "info", "event": "request", "request_id": "abc-1",
            "method": "GET", "route": "/items/{item_id}", "status": 200, "duration_ms": 12.35, "person": 7,
        },
        {
            "timestamp": "2026-11-23T01:02:03.456+00:00", "level": "error", "event": "request", "request_id": "abc-1",
            "method": "GET", "route": "/items/{item_id}", "status": 503, "duration_ms": 12.35, "person": None,
            "error_code": "HTTP_503",
        },
    ]  # fmt: skip
    assert all(line.endswith(b"\n") for line in sheet.lines)


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


# --- exceptions -------------------------------------------------------------------------------------------------------


def test_a_trace_says_where_and_what_without_the_values() -> None:
    class Model(BaseModel):
        age: int

    def fail() -> None:
        try:
            try:
                Model(age="the secret age")  # type: ignore[arg-type]
            except ValueError as error:
                raise IntegrityError(
                    "INSERT", {"a": "the secret parameter"}, Exception("UNIQUE\nDETAIL: the secret key")
                ) from error
        except IntegrityError as error:
            raise RuntimeError("outer\nthe secret line") from error

    with pytest.raises(RuntimeError) as caught:
        fail()
    text = describe(caught.value)
    for part in (
        "in fail",
        "builtins.RuntimeError: outer",
        "IntegrityError",
        "caused by",
        "ValidationError",
        "age: int_parsing",
    ):
        assert part in text
    messages = [line for line in text.splitlines() if not line.startswith(" ")]  # the others quote the code
    assert not [line for line in messages if "secret" in line]


def test_groups_name_what_is_in_them() -> None:
    text = describe(ExceptionGroup("several", [ValueError("one"), KeyError("two")]))
    assert "ValueError: one" in text
    assert "KeyError: 'two'" in text


def test_an_endless_chain_has_an_end() -> None:
    first, second = ValueError("1"), ValueError("2")
    first.__cause__, second.__cause__ = second, first
    assert describe(first).count("caused by") < 10


# --- the whole --------------------------------------------------------------------------------------------------------

PROGRAM = """
import logging, structlog, sys, warnings
from tradepost.core.observability import logging as ours
write = ours.configure({level!r})
ours.configure({level!r})
token = ours.request_id.set("req-1")
log = structlog.get_logger("tradepost.part")
log.debug("not now")
log.info("hello", number=7, text="zoë")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("it failed")
    logging.getLogger("uvicorn.error").exception("so did %s", "this")
ours.request_id.reset(token)
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
        "logger": "tradepost.part",
    }.items() <= hello.items()
    assert failed["exception"] == standard_failed["exception"]
    assert failed["exception"].endswith("builtins.ZeroDivisionError: division by zero")
    assert standard_failed["request_id"] == "req-1"
    assert "request_id" not in careful
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
        write = logging.configure("WARNING", stream=stream)
        assert logging.configure("WARNING", stream=stream) is not write
        log = structlog.get_logger("tradepost.part")
        log.info("too quiet")
        log.warning("ours", exc_info=(ValueError, ValueError("v"), None))
        standard.getLogger("other").error("theirs %s", object, exc_info=ValueError("w"))
        standard.getLogger("other").error("broken %d", "text")
        try:
            json.loads("{}")["k"]
        except KeyError:
            log.exception("caught")
        write(**REQUEST | {"status": 500})
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
