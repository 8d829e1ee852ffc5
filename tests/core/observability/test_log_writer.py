"""Log lines on their way to a pipe that is full, gone or non-blocking."""

import json
import os
import threading
from collections.abc import Iterator

import pytest

from tradepost.core.observability.log_writer import LogWriter


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
