"""One process of a run: an open loop that begins journeys when they are due, whatever the server does.

A latency counts from when its request was due: the first step of a journey at the moment that the rate says, the wait for a
free connection included, each further one when the answer before it was there and the person has thought. So a server that
stalls does not slow the questions down, and cannot hide how long they waited (coordinated omission).
"""

import asyncio
import resource
import signal
from collections.abc import Awaitable, Callable
from itertools import cycle
from random import Random
from typing import Any, Final

from tradepost.loading.client import Answer, Client, Host, NoAnswer
from tradepost.loading.job import Job
from tradepost.loading.journeys import GOOD, MIXES
from tradepost.loading.record import Record

EARLY: Final = 0.0002
"""Seconds by which a journey may begin before it is due, rather than be waited for."""
MOST_GOING: Final = 20_000
"""Journeys that one process has under way; what is due beyond that is counted as never begun."""
PATIENCE: Final = 5.0
"""Seconds after the last was due, on top of the time for an answer, after which what is under way is given up."""


class Ended(Exception):
    """A step was not answered as it should be, and is counted."""


class Generator:
    """Runs one job."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.host = Host.of(job.url)
        self.mix = MIXES[job.mix]
        self.record = Record()
        self.loop = asyncio.get_running_loop()
        self.client = Client(self.host, most=job.connections, timeout=job.timeout)
        self.start = 0.0
        self._people = cycle(job.people or ("",))
        self._going: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._alarm: asyncio.Future[None] | None = None

    def stop(self) -> None:
        """Begin no more; what is under way is finished."""
        self._stopping = True
        if self._alarm is not None:
            _ring(self._alarm)

    async def run(self) -> Record:
        """Begin what is due, wait for the answers, and return what came of it."""
        before = _busy()
        self.start = self.loop.time() + 0.05
        begun = self.start
        number = 0
        for at, stage in enumerate(self.job.stages):
            pause = self.mix.steps / stage.rate
            journeys = max(1, round(stage.seconds / pause))
            for place in range(journeys):
                await self._until(begun + place * pause)
                if self._stopping:
                    break
                self._begin(number, at, begun + place * pause)
                number += 1
            begun += stage.seconds
        await self._until(begun)
        if self._going:
            await asyncio.wait(self._going, timeout=self.job.timeout + PATIENCE)
        for task in self._going:
            task.cancel()
        await asyncio.gather(*self._going, return_exceptions=True)
        self.client.close()
        self.record.busy = _busy() - before
        self.record.most_connections = self.client.most_open
        return self.record

    async def _until(self, moment: float) -> None:
        """Wait until a moment, or until this is to stop."""
        pause = moment - self.loop.time()
        if pause <= EARLY or self._stopping:
            # Others have their turn all the same: with nothing but begun journeys, no answer would be taken.
            await asyncio.sleep(0)
            return
        self._alarm = self.loop.create_future()
        timer = self.loop.call_later(pause, _ring, self._alarm)
        await self._alarm
        timer.cancel()

    def _begin(self, number: int, stage: int, due: float) -> None:
        now = self.loop.time()
        self.record.began(now - due)
        if len(self._going) >= MOST_GOING:
            self.record.bad("never begun", stage, int(due - self.start), "too many under way")
            return
        task = self.loop.create_task(self._go(Journey(self, number, stage, due, next(self._people))))
        self._going.add(task)
        task.add_done_callback(self._going.discard)

    async def _go(self, journey: "Journey") -> None:
        try:
            await self.mix.go(journey)
        except Ended:
            return
        except (KeyError, ValueError, IndexError):
            journey.failed("answer not understood")


class Journey:
    """One person on one journey, from when it is due."""

    def __init__(self, of: Generator, number: int, stage: int, due: float, person: str) -> None:
        self.dice = Random(f"{of.job.seed} {number}")  # noqa: S311 - nothing secret comes of it
        self.number = number
        self.item_ids = of.job.item_ids
        self.event_ids = of.job.event_ids
        self.tags = of.job.tags
        self._of = of
        self._stage = stage
        self._due = due
        self._person = person
        self._step = "first step"

    async def send(
        self,
        step: str,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        headers: str = "",
        personal: bool = False,
        good: frozenset[int] = GOOD,
    ) -> Answer:
        """Take a step; raises ``Ended`` unless its answer's status is a good one."""
        self._step = step
        request = self._request(method, path, body, headers, personal=personal)
        record, due = self._of.record, self._due
        try:
            answer = await self._of.client.send(request)
        except NoAnswer as reason:
            record.unanswered += 1
            self.failed(str(reason))
            raise Ended from reason
        record.answered += 1
        return await self._judged(step, due, answer, good)

    async def hear(self, step: str, path: str, marker: bytes, done: Callable[[], Awaitable[bytes]]) -> None:
        """Open a stream until it says ``marker``, then do something, and wait until the stream says what that returned."""
        self._step = "open stream"
        of, record = self._of, self._of.record
        try:
            connection = await of.client.take()
        except NoAnswer as reason:
            record.unanswered += 1
            self.failed(str(reason))
            raise Ended from reason
        try:
            request = self._request("GET", path, b"", "Accept: text/event-stream\r\n", personal=True)
            opened = await connection.listen(request, marker, overdue_at=of.client.overdue_at())
            # A stream is counted by the server when it ends, as it will.
            record.answered += 1
            await self._judged("open stream", self._due, opened, GOOD)
            wanted = await done()
            due, self._step = self._due, step
            await connection.listen(None, wanted, overdue_at=of.client.overdue_at())
            await self._judged(step, due, Answer(200, b""), GOOD)
        except NoAnswer as reason:
            self.failed(str(reason))
            raise Ended from reason
        finally:
            connection.close()
            of.client.give_back(connection)

    def failed(self, kind: str) -> None:
        """Count the step that is under way as one that went wrong."""
        self._of.record.bad(self._step, self._stage, self._second(self._due), kind)

    async def _judged(self, step: str, due: float, answer: Answer, good: frozenset[int]) -> Answer:
        now = self._of.loop.time()
        if answer.status not in good:
            self.failed(_kind(answer))
            raise Ended
        self._of.record.good(step, self._stage, self._second(due), max(0.0, now - due))
        think = self._of.job.think
        if think:
            await asyncio.sleep(think * (0.5 + self.dice.random()))
        self._due = self._of.loop.time() if think else now
        return answer

    def _second(self, due: float) -> int:
        return max(0, int(due - self._of.start))

    def _request(self, method: str, path: str, body: bytes, headers: str, *, personal: bool) -> bytes:
        host, job = self._of.host, self._of.job
        shown = f"{self._person}\r\n" if self._person and (personal or job.lifts_limits) else ""
        length = f"Content-Length: {len(body)}\r\n" if body or method != "GET" else ""
        head = (
            f"{method} {host.prefix}{path} HTTP/1.1\r\nHost: {host.authority}\r\nUser-Agent: tradepost-load\r\n"
            f"{shown}{headers}{length}\r\n"
        )
        return head.encode() + body


def _ring(alarm: "asyncio.Future[None]") -> None:
    if not alarm.done():
        alarm.set_result(None)


def _kind(answer: Answer) -> str:
    """Return a word for an answer that should be another: its status, and the code of the problem."""
    _, found, rest = answer.body.partition(b'"error_code":"')
    code = rest.partition(b'"')[0].decode("ascii", "replace")[:40] if found else ""
    return f"{answer.status} {code}".rstrip()


def _busy() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def generate(job: Job) -> dict[str, Any]:
    """Run a job; SIGINT and SIGTERM end it politely, with what there is by then."""
    generator = Generator(job)
    for number in (signal.SIGINT, signal.SIGTERM):
        generator.loop.add_signal_handler(number, generator.stop)
    return (await generator.run()).to_json()
