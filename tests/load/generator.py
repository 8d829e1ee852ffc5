"""The load generator: reads a `Job` as JSON from standard input, sends it, writes a `Result` as JSON.

A process of its own, with one thread and an epoll loop. Plain epoll rather than an event loop: its timers are
finer than libuv's milliseconds, which an open loop needs, and it costs less CPU for each request.

Closed loop: every client sends its next request as soon as it has its answer. The latencies are those of a
polite crowd that waits for a slow server, so they flatter one that stalls. Open loop: requests fall due at a
constant rate whatever the server does, and a latency counts from the moment its request was due, the wait for a
free client included.
"""

from __future__ import annotations

import gc
import json
import os
import select
import sys
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from time import perf_counter, sleep, time_ns
from typing import Any

from tests.load.exchange import Connection, ProtocolError
from tests.load.processor_time import seconds_of_machine, seconds_of_tree
from tradepost.loading.histogram import Histogram

GRACE = 10.0
"""Seconds after the window in which answers to what was sent are still awaited."""
SETTLING = 1.2
"""Seconds after the last answer that CPU is still counted for: work put off (such as counting views, once a second)
belongs to whoever put it off, and not to who is measured next."""
GREETING = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
ONCE = "00000000-every-request-another"
"""Stands in a request for what must be another in each that is sent, such as an idempotency key."""
COMPARED = 25
"""So many of the first requests hand back their answers' bodies, to be compared among contestants."""


@dataclass(frozen=True)
class Job:
    """What to send: `requests` in turn over `connections` for `seconds`; `rate` a second, or closed loop at None."""

    port: int
    requests: list[str]
    expected_status: int
    connections: int
    seconds: float
    rate: float | None = None
    server_pid: int | None = None
    database_pid: int | None = None
    settling: float = SETTLING
    also_expected: int | None = None


@dataclass
class Result:
    """What came of a job. CPU in seconds, over the window, the wait for its last answers, and `SETTLING`."""

    seconds: float
    answers_in_window: int = 0
    answers: int = 0
    """With the expected status, including those that came after the window: what CPU is divided by."""
    statuses: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    """Requests sent without a whole answer: closed connections, nonsense, or silence for `GRACE` seconds."""
    never_sent: int = 0
    """Open loop: requests that were due and found no free client before the end."""
    fewest_of_a_client: int = 0
    most_of_a_client: int = 0
    server_cpu: float = 0.0
    database_cpu: float = 0.0
    generator_cpu: float = 0.0
    others_cpu: float = 0.0
    """Of every process that has nothing to do with the measurement, and what a hypervisor took."""
    elapsed: float = 0.0
    """Seconds over which CPU was counted."""
    latencies: list[tuple[int, int]] = field(default_factory=list)
    bodies: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    """The first few things that went wrong, in words."""


class Generator:
    """Runs one job."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.requests = [request.encode("latin-1") for request in job.requests]
        self.result = Result(seconds=job.seconds)
        self.latencies: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.next = 0
        self.sent = time_ns()
        """Goes up with each request, and is another in each run."""
        self.marked = any(ONCE in request for request in job.requests[:1])
        self.poll = select.epoll()
        self.all = [Connection(("127.0.0.1", job.port)) for _ in range(job.connections)]
        self.clients: dict[int, Connection] = {}
        """Those that are connected, by the descriptors that epoll names them by."""
        for client in self.all:
            self._watch(client)

    def _watch(self, client: Connection) -> None:
        self.clients[client.socket.fileno()] = client
        self.poll.register(client.socket.fileno(), select.EPOLLIN)

    def _send(self, client: Connection, since: float) -> None:
        number = self.next
        self.next = (number + 1) % len(self.requests)
        request = self.requests[number]
        if self.marked:
            self.sent += 1
            request = request.replace(ONCE.encode(), b"%d" % self.sent)
        if client.is_closed:
            client.open()
            self._watch(client)
        try:
            client.send(number, request, since=since)
        except ProtocolError:
            # The server closed while the client was idle: once more, on a new connection.
            self._close(client)
            client.open()
            self._watch(client)
            client.send(number, request, since=since)

    def _close(self, client: Connection) -> None:
        """Close the client's connection; it is opened again for its next request."""
        del self.clients[client.socket.fileno()]
        client.close()

    def _receive(self, client: Connection, end: float) -> bool:
        """Take what arrived for `client`; True when it is free for its next request."""
        try:
            answer = client.receive()
        except ProtocolError as error:
            if client.request >= 0:
                self.result.lost += 1
                self._note(str(error))
            was_idle = client.request < 0
            self._close(client)
            return not was_idle
        if answer is None:
            return False
        now = perf_counter()
        self.statuses[answer.status] += 1
        if answer.status in {self.job.expected_status, self.job.also_expected}:
            self.latencies.append(now - client.since)
            self.result.answers += 1
            client.answers += 1
            if now < end:
                self.result.answers_in_window += 1
            if client.request < COMPARED:
                self.result.bodies.setdefault(str(client.request), answer.body.decode())
        else:
            self._note(f"{answer.status}: {answer.body[:300].decode(errors='replace')}")
        client.request = -1
        if answer.last:
            self._close(client)
        return True

    def _note(self, fault: str) -> None:
        if len(self.result.faults) < 5:
            self.result.faults.append(fault)

    def run(self) -> Result:
        """Send, wait for what is in flight, and account for it."""
        self._be_accepted()
        before = self._cpu()
        start = perf_counter()
        end = start + self.job.seconds
        if self.job.rate is None:
            self._closed_loop(end)
        else:
            self._open_loop(start, end, self.job.rate)
        sleep(self.job.settling)
        result = self.result
        result.elapsed = perf_counter() - start
        spent = [late - early for late, early in zip(self._cpu(), before, strict=True)]
        result.server_cpu, result.database_cpu, result.generator_cpu, machine = spent
        result.others_cpu = max(0.0, machine - sum(spent[:3]))
        unanswered = sum(client.request >= 0 for client in self.all)
        if unanswered:
            result.lost += unanswered
            result.faults.append(f"{unanswered} requests without an answer {GRACE:.0f} s after the end")
        served = [client.answers for client in self.all]
        result.fewest_of_a_client, result.most_of_a_client = min(served), max(served)
        result.statuses = {str(status): count for status, count in sorted(self.statuses.items())}
        histogram = Histogram()
        histogram.add_seconds(self.latencies)
        result.latencies = histogram.to_json()
        self.poll.close()
        for client in self.all:
            client.close()
        return result

    def _be_accepted(self) -> None:
        """Have one answer on every connection before anything counts, whatever its status.

        Servers on libuv accept one connection in each turn of their loop: under load the last of hundreds would
        wait seconds for its first answer, which says nothing about the work that is being measured.
        """
        for client in self.clients.values():
            client.send(-1, GREETING, since=0.0)
        until = perf_counter() + GRACE
        waiting = len(self.clients)
        while waiting:
            for descriptor, _ in self.poll.poll(0.05):
                waiting -= self.clients[descriptor].receive() is not None
            if waiting and perf_counter() > until:
                raise ProtocolError(f"{waiting} of {len(self.clients)} clients had no answer to a greeting")

    def _closed_loop(self, end: float) -> None:
        clients, poll = self.clients, self.poll.poll
        for client in self.all:
            self._send(client, perf_counter())
        while (now := perf_counter()) < end:
            for descriptor, _ in poll(end - now):
                client = clients[descriptor]
                if self._receive(client, end):
                    self._send(client, perf_counter())
        self._drain(end)

    def _open_loop(self, start: float, end: float, rate: float) -> None:
        clients = self.clients
        idle = list(self.all)
        due: deque[float] = deque()
        scheduled = 0
        total = int(rate * self.job.seconds)
        next_due = start
        while (now := perf_counter()) < end:
            while next_due <= now and scheduled < total:
                due.append(next_due)
                scheduled += 1
                next_due = start + scheduled / rate
            while due and idle:
                # The one used last: the others may be idle for so long that the server closes them.
                self._send(idle.pop(), due.popleft())
            # select() on epoll's own descriptor waits by the microsecond, epoll_wait() only by the millisecond.
            # Without a client free there is nothing to send however much is due: wait for answers.
            patience = (next_due if idle and scheduled < total else end) - perf_counter()
            select.select([self.poll], [], [], max(0.0, patience))
            for descriptor, _ in self.poll.poll(0):
                client = clients[descriptor]
                if self._receive(client, end):
                    idle.append(client)
        # What never found a client has waited this long at least: leaving it out would flatter the server.
        due.extend(start + number / rate for number in range(scheduled, total))
        self.result.never_sent = len(due)
        self.latencies.extend(end - moment for moment in due)
        self._drain(end)

    def _drain(self, end: float) -> None:
        """Wait for the answers to what was sent, so that no CPU time is counted for requests that are not."""
        while any(client.request >= 0 for client in self.all) and perf_counter() < end + GRACE:
            for descriptor, _ in self.poll.poll(0.05):
                self._receive(self.clients[descriptor], end)

    def _cpu(self) -> tuple[float, float, float, float]:
        """CPU seconds so far of the server, the database, this process and the whole machine."""
        server, database = self.job.server_pid, self.job.database_pid
        own = os.times()
        return (
            0.0 if server is None else seconds_of_tree(server),
            0.0 if database is None else seconds_of_tree(database),
            own.user + own.system,
            seconds_of_machine(),
        )


def main() -> None:
    """Run the job on standard input."""
    gc.disable()  # Nothing here makes cycles, and a collection would be measured as the server's stall.
    job: dict[str, Any] = json.load(sys.stdin)
    result = Generator(Job(**job)).run()
    json.dump(asdict(result), sys.stdout)


if __name__ == "__main__":
    main()
