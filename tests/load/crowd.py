"""A crowd: requests that fall due at a rate whatever the server does, each on a connection that is free, or on a new one.

It reads a `Job` as JSON from standard input, and writes what came of each request: when it was due, how long that took, and
the status, 0 for none. Beside it the probes are asked four times a second. Who is refused comes back when it was told to, if
the job says so. A process of its own, for the reasons that `generator` gives.
"""

from __future__ import annotations

import gc
import heapq
import json
import select
import sys
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any

from tests.load.exchange import Connection, ProtocolError

PROBES = ("/livez", "/metrics")
PROBE_PERIOD = 0.25
AGAIN = 0.1
"""Seconds after which the impatient ask again."""
AT_ONCE = 64
"""Requests that are sent, at most, before answers are taken: one that has fallen behind would take none for seconds."""
PROBE = -1
"""The kind of a request that is a probe."""


@dataclass(frozen=True)
class Job:
    """What to send: `requests` in turn, at a rate that is another in each of the `phases` of (seconds, rate)."""

    port: int
    requests: list[str]
    phases: list[tuple[float, float]]
    most_connections: int = 2_000
    patience: float = 5.0
    """Seconds after which who was not answered gives up, and closes the connection."""
    comes_back: bool = False
    retries: int = 0
    """How often who is refused, or gives up, asks again a tenth of a second later, whatever it was told."""
    fresh: bool = False
    """Whether each request comes on a connection of its own."""
    idle: int = 0
    """Connections that were used once, and are only there from then on."""


@dataclass
class Came:
    """What came of the requests: of each, when it was due, its kind, its status and its latency in seconds."""

    asked: list[tuple[float, int, int, float]] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)
    most_connections: int = 0


class Crowd:
    """Runs one job."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.came = Came()
        self.requests = [request.encode("latin-1") for request in job.requests]
        self.next = 0
        self.start = 0.0
        self.poll = select.epoll()
        self.busy: dict[int, Connection] = {}
        self.idle: list[Connection] = []
        self.coming: dict[int, tuple[Connection, bytes]] = {}
        """Connections that are being opened, and what is to be sent on them."""
        self.sleeping: list[Connection] = []
        self.due: list[tuple[float, int, int]] = []
        """Requests to come: when, their kind and their number."""

    def run(self) -> Came:
        """Send everything, and wait for it."""
        self._plan()
        self._fall_asleep()
        self.start = perf_counter()
        end = self.start + sum(seconds for seconds, _ in self.job.phases)
        while True:
            now = perf_counter()
            for _ in range(AT_ONCE):
                if not self.due or self.due[0][0] + self.start > now:
                    break
                when, kind, number = heapq.heappop(self.due)
                self._send(when, kind, number)
            self._give_up(now)
            if now > end and (not self.busy or now > end + self.job.patience):
                break
            pause = (self.due[0][0] + self.start - perf_counter()) if self.due else 0.05
            select.select([self.poll], [], [], min(0.05, max(0.0, pause)))
            for descriptor, _ in self.poll.poll(0):
                if descriptor in self.coming:
                    self._send_first(descriptor)
                else:
                    self._receive(self.busy[descriptor])
        return self.came

    def _fall_asleep(self) -> None:
        for _ in range(self.job.idle):
            client = Connection(("127.0.0.1", self.job.port))
            client.socket.settimeout(10)
            client.send(0, b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", since=0)
            while client.receive() is None:
                pass
            self.sleeping.append(client)

    def _plan(self) -> None:
        begun = 0.0
        for seconds, rate in self.job.phases:
            count = int(seconds * rate)
            self.due += [(begun + number / rate, 0, -1) for number in range(count)]
            begun += seconds
        self.due += [(number * PROBE_PERIOD, PROBE, number) for number in range(int(begun / PROBE_PERIOD))]
        heapq.heapify(self.due)

    def _send(self, when: float, kind: int, number: int) -> None:
        if kind == PROBE:
            path = PROBES[number % len(PROBES)]
            request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        else:
            if number < 0:
                number, self.next = self.next, (self.next + 1) % len(self.requests)
            request = self.requests[number]
        for _ in range(3):
            if (not self.idle or self.job.fresh) and len(self.busy) >= self.job.most_connections:
                return self._end(when, kind, 0, "no connection was free")
            try:
                if self.idle and not self.job.fresh:
                    client = self.idle.pop()
                    client.send(number, request, since=when)
                    awaited = select.EPOLLIN
                else:
                    client = Connection(("127.0.0.1", self.job.port), waits=False)
                    client.request, client.since = number, when
                    self.coming[client.socket.fileno()] = client, request
                    awaited = select.EPOLLOUT
                client.kind = kind
            except (ProtocolError, OSError):
                continue
            self.busy[client.socket.fileno()] = client
            self.poll.register(client.socket.fileno(), awaited)
            self.came.most_connections = max(self.came.most_connections, len(self.busy) + len(self.idle))
            return None
        return self._end(when, kind, 0, "could not be sent")

    def _send_first(self, descriptor: int) -> None:
        client, request = self.coming.pop(descriptor)
        self.poll.modify(descriptor, select.EPOLLIN)
        try:
            client.send(client.request, request, since=client.since)
        except ProtocolError as error:
            self._forget(client)
            self._end(client.since, client.kind, 0, str(error))
            client.close()

    def _receive(self, client: Connection) -> None:
        kind = client.kind
        try:
            answer = client.receive()
        except ProtocolError as error:
            self._forget(client)
            client.close()
            return self._end(client.since, kind, 0, str(error))
        if answer is None:
            return None
        self._forget(client)
        if answer.status == 503 and self.job.comes_back:
            self._ask_again(client, client.retry_after)
        elif answer.status == 503 and kind < self.job.retries:
            self._ask_again(client, AGAIN)
        self._end(client.since, kind, answer.status)
        if answer.last or self.job.fresh:
            client.close()
        else:
            client.request = -1
            self.idle.append(client)
        return None

    def _ask_again(self, client: Connection, seconds: float) -> None:
        if client.kind >= 0:
            later = perf_counter() - self.start + seconds
            heapq.heappush(self.due, (later, client.kind + 1, client.request))

    def _forget(self, client: Connection) -> None:
        descriptor = client.socket.fileno()
        self.poll.unregister(descriptor)
        self.coming.pop(descriptor, None)
        del self.busy[descriptor]

    def _give_up(self, now: float) -> None:
        since = now - self.start - self.job.patience
        for client in list(self.busy.values()):
            if client.since > since:
                break  # those after it were sent later
            self._forget(client)
            if client.kind < self.job.retries:
                self._ask_again(client, AGAIN)
            client.close()
            self._end(client.since, client.kind, 0, "no answer in time")

    def _end(self, when: float, kind: int, status: int, fault: str | None = None) -> None:
        self.came.asked.append((when, kind, status, perf_counter() - self.start - when))
        if fault is not None:
            self.came.faults[fault] = self.came.faults.get(fault, 0) + 1


def main() -> None:
    """Run the job on standard input."""
    gc.disable()
    job: dict[str, Any] = json.load(sys.stdin)
    json.dump(asdict(Crowd(Job(**job)).run()), sys.stdout)


if __name__ == "__main__":
    main()
