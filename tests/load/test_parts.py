"""The instruments: a wrong yardstick would go unnoticed for long."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from tests.load.exchange import ProtocolError, parse
from tests.load.generator import Generator, Job, Result
from tests.load.in_bulk import lines, percentile
from tests.load.peers.limit import place_of
from tests.load.picture import svg
from tests.load.processor_time import parent_of, seconds_of_tree, tree_of
from tests.load.profiling import read_stacks, table
from tests.load.report import markdown
from tests.load.rounds import Load, Measurement, Rounds
from tests.load.sameness import differences
from tests.load.summary import summarise
from tests.load.workloads import Workload, misspelt
from tradepost.core.secret_keys import SecretKeys
from tradepost.core.wire.cursors import Cursors
from tradepost.items.schemas import ItemCreate
from tradepost.loading.histogram import Histogram

REQUEST = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n0\r\n\r\r\nA\r\n123456789\n\r\n0\r\n\r\n"
)
OK = b'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"id": 7}'
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize("microseconds", [0, 1, 255, 256, 257, 1_000, 65_535, 1_234_567, 90_000_000])
def test_a_bucket_is_narrow_and_holds_its_values(microseconds: int) -> None:
    highest = Histogram.highest_in(Histogram.bucket_of(microseconds))
    assert microseconds <= highest <= microseconds * (1 + 1 / 128)


def test_buckets_follow_one_another_without_gaps() -> None:
    buckets = [Histogram.bucket_of(microseconds) for microseconds in range(5_000)]
    assert {late - early for early, late in pairwise(buckets)} == {0, 1}
    assert all(
        Histogram.bucket_of(Histogram.highest_in(bucket) + 1) == bucket + 1 for bucket in range(buckets[-1])
    )


def test_quantiles_of_merged_histograms() -> None:
    fast, slow = Histogram(), Histogram()
    fast.add_seconds([0.001] * 99)
    slow.add_seconds([1.0])
    fast.merge(Histogram.from_json(json.loads(json.dumps(slow.to_json()))))
    assert fast.total == 100
    assert fast.quantile(0.5) == pytest.approx(1, rel=0.01)
    assert fast.quantile(0.99) == pytest.approx(1, rel=0.01)
    assert fast.quantile(1) == pytest.approx(1000, rel=0.01)
    assert Histogram().quantile(0.5) == 0


def test_an_answer_is_parsed_only_when_it_is_whole() -> None:
    assert all(parse(OK[:length]) is None for length in range(len(OK)))
    answer = parse(OK)
    assert answer is not None
    assert (answer.status, answer.body, answer.last) == (200, b'{"id": 7}', False)


def test_an_answer_in_chunks_is_parsed_only_when_it_is_whole() -> None:
    assert all(parse(CHUNKED[:length]) is None for length in range(len(CHUNKED)))
    answer = parse(CHUNKED)
    assert answer is not None
    assert (answer.status, answer.body, answer.last) == (200, b"0\r\n\r123456789\n", False)


@pytest.mark.parametrize("length", [b"", b"content-length: 7\r\n"])
def test_an_answer_that_nothing_has_changed_has_no_body(length: bytes) -> None:
    answer = parse(b"HTTP/1.1 304 Not Modified\r\n" + length + b"\r\n")
    assert answer is not None
    assert (answer.status, answer.body) == (304, b"")


@pytest.mark.parametrize(
    "received", [b"HTTP/1.1 200 OK\r\nserver: x\r\n\r\n0\r\n\r\n", OK + b"surplus", CHUNKED + b"surplus"]
)
def test_what_cannot_be_parsed_is_an_error(received: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse(received)


@asynccontextmanager
async def serving(
    answer: Callable[[asyncio.StreamWriter, int], Awaitable[None]],
) -> AsyncIterator[int]:
    """A server on a free port that has `answer` called for each request, with the request's number."""
    count = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                count += 1
                await answer(writer, count)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def measure(port: int, *, connections: int = 4, rate: float | None = None) -> Result:
    job = Job(port, [REQUEST] * 30, 200, connections=connections, seconds=0.5, rate=rate, settling=0)
    return await asyncio.to_thread(lambda: Generator(job).run())


async def at_once(writer: asyncio.StreamWriter, _number: int) -> None:
    writer.write(OK)


async def after_fifty_milliseconds(writer: asyncio.StreamWriter, _number: int) -> None:
    await asyncio.sleep(0.05)
    writer.write(OK)


async def test_a_closed_loop_counts_every_answer_and_serves_clients_alike() -> None:
    async with serving(after_fifty_milliseconds) as port:
        result = await measure(port)
    assert result.statuses == {"200": result.answers}
    assert 24 <= result.answers <= 44
    assert result.answers_in_window <= result.answers
    assert result.most_of_a_client - result.fewest_of_a_client <= 1
    assert result.lost == 0
    assert Histogram.from_json(result.latencies).quantile(0.5) >= 50
    assert set(result.bodies) == {str(number) for number in range(25)}


async def test_an_open_loop_keeps_its_rate() -> None:
    async with serving(at_once) as port:
        result = await measure(port, rate=200)
    # Every request that was due is answered or said not to have been sent; on a busy machine a few come too late to be.
    assert result.answers + result.never_sent == 100
    assert result.answers > 50


async def test_an_open_loop_counts_the_wait_for_a_client() -> None:
    async with serving(after_fifty_milliseconds) as port:
        result = await measure(port, connections=1, rate=100)
    latencies = Histogram.from_json(result.latencies)
    # One client, 20 answers a second, 100 due: the queue grows, and every request that was due is in the figures.
    assert result.answers <= 11
    assert latencies.total == 50
    assert result.answers + result.never_sent == 50
    assert latencies.quantile(0.5) > 150


async def test_refusals_are_counted_apart() -> None:
    async def every_second(writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(OK if number % 2 else BUSY)

    async with serving(every_second) as port:
        result = await measure(port, rate=200)
    assert result.statuses["503"] == pytest.approx(result.answers, abs=2)
    assert result.answers + result.statuses["503"] + result.never_sent == 100
    assert Histogram.from_json(result.latencies).total == result.answers


async def test_a_connection_that_is_closed_is_opened_again_and_its_request_is_lost() -> None:
    async def hang_up_on_the_ninth(writer: asyncio.StreamWriter, number: int) -> None:
        if number == 9:
            writer.close()
        else:
            await after_fifty_milliseconds(writer, number)

    async with serving(hang_up_on_the_ninth) as port:
        result = await measure(port)
    assert result.lost == 1
    assert result.answers > 20
    assert result.faults == ["the server closed the connection"]


def test_the_cpu_time_of_a_tree_grows_with_work() -> None:
    before = seconds_of_tree(os.getpid())
    busy = [
        sys.executable,
        "-c",
        "import time; end = time.process_time() + 0.2\nwhile time.process_time() < end: pass",
    ]
    child = subprocess.Popen(busy)
    assert child.pid in tree_of(os.getpid())
    assert parent_of(child.pid) == os.getpid()
    child.wait()
    assert seconds_of_tree(os.getpid()) - before >= 0.15


def test_contents_are_compared_by_value() -> None:
    one = {"0": '{"id": 1, "price": 2.50, "created_at": "2026-11-01T10:00:00.5Z", "views": 3}'}
    same = {"0": '{"id":1,"price":2.5,"created_at":"2026-11-01T10:00:00.500000+00:00","views":9}'}
    other = {"0": '{"id":2,"price":2.5,"created_at":"2026-11-01T10:00:00.6Z"}'}
    assert list(differences(one, same)) == []
    assert len(list(differences(one, other))) == 3
    assert len(list(differences(one, other, created=True))) == 1


def measured(contestant: str, number: int, rate: float, load: Load) -> Measurement:
    return Measurement(
        workload="read",
        contestant=contestant,
        load=load,
        round=number,
        rate=rate,
        offered=load.rate,
        p50=1.0,
        p99=2.0,
        p999=3.0,
        server_cpu=1e6 / rate,
        database_cpu=10.0,
        generator_cpu=10.0,
        others=0.1,
        fewest=1,
        most=2,
        shed=0,
        never_sent=0,
        latencies=[],
    )


def test_ratios_are_taken_within_a_round() -> None:
    closed, opened = Load(64), Load(64, rate=500)
    rates = {"limit": (1000, 500, 100), "tradepost": (500, 250, 100)}
    measurements = [
        measured(name, number, rate, load)
        for load in (closed, opened)
        for name, of_rounds in rates.items()
        for number, rate in enumerate(of_rounds)
    ]
    sections = summarise(measurements)
    assert [section.load for section in sections] == [closed, opened]
    first = sections[0].lines[0]
    assert first.contestant == "tradepost"
    assert (first.rate.low, first.rate.median, first.rate.high) == (100, 250, 500)
    assert first.rate_to_limit is not None
    assert (first.rate_to_limit.low, first.rate_to_limit.median, first.rate_to_limit.high) == (0.5, 0.5, 1.0)
    text = markdown(sections, {"read": "read one item"}, ["A run"])
    assert "### read one item (64 connections, closed loop)" in text
    assert "0.50 (0.50-1.00)" in text
    assert svg(sections, {"read": "read <one> item"}, ["a run"]).count("<rect") == 3


def test_stacks_are_counted_by_function() -> None:
    collapsed = [
        "run (/x/asyncio/runners.py);answer (/x/tradepost/web/paths.py:12);encode (/x/core/wire/row_json.py:3) 6",
        "run (/x/asyncio/runners.py);answer (/x/tradepost/web/paths.py:12) 3",
        "run (/x/asyncio/runners.py) 1",
    ]
    lines = table(read_stacks(collapsed), cpu=200, top=2).splitlines()
    assert lines[1].split() == ["120.0", "60.0%", "60.0%", "encode", "(wire/row_json.py)"]
    assert lines[2].split() == ["60.0", "30.0%", "90.0%", "answer", "(web/paths.py)"]
    assert len(lines) == 3


def test_bulk_lines_are_items() -> None:
    for line in lines(["one", "two", "three"], 600).splitlines():
        item = ItemCreate.model_validate_json(line)
        assert set(item.tags) <= {"one", "two", "three"}


def test_percentile() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.99) == 3.0
    assert percentile(list(range(100)), 0.5) == 50


def test_misspelt_words_lack_their_middle_letter() -> None:
    assert misspelt(["vintage", "oak"]) == ["vinage"]


def test_the_limit_goes_on_where_a_cursor_of_tradeposts_stands() -> None:
    moment = datetime(2026, 5, 4, 3, 2, 1, 123456, tzinfo=UTC)
    assert place_of(Cursors(SecretKeys("a secret")).issue("items", (moment, 7))) == (moment, 7)


def test_a_contestant_with_an_api_of_its_own_is_asked_in_its_words_alone() -> None:
    server: Any = SimpleNamespace(contestant=SimpleNamespace(name="other"))
    dataset: Any = None
    rounds = Rounds(
        dataset, [server], rounds=1, seconds=1, say=lambda _: None, own={"other": {"search": ["GET /mine"]}}
    )
    asked, unasked = (
        Workload(name, name, ["GET /ours"], expected_status=201, only="tradepost")
        for name in ("search", "read")
    )
    assert (rounds.can(asked, "other"), rounds.can(unasked, "other")) == (True, False)
    assert (rounds.can(asked, "tradepost"), rounds.can(asked, "limit")) == (True, False)
    assert rounds.requests_of(asked, "other") == ["GET /mine"]
    assert rounds.requests_of(asked, "tradepost") == ["GET /ours"]
    answered = Result(seconds=1, elapsed=1, statuses={"200": 3})
    assert rounds.judge(asked, server, answered, may_shed=False) == []
    limit: Any = SimpleNamespace(contestant=SimpleNamespace(name="limit"))
    assert rounds.judge(asked, limit, answered, may_shed=False) == ["3 answers 200"]
