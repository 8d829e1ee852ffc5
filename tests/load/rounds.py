"""Rounds of measurements: contestants take turns, so that a slow minute of the machine meets all of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tests.load.contestants import LIMIT, ROOT
from tests.load.generator import Job, Result
from tests.load.sameness import differences
from tests.load.workloads import BESIDE
from tradepost.loading.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.load.contestants import Server
    from tests.load.database import Dataset
    from tests.load.workloads import Workload

MOST_A_SECOND = 4_000
"""Requests a second that nobody answers of those that can each be sent once."""
WARM_UP = 1.0
"""Seconds before the first round of each workload: caches fill, prepared statements are made, Node compiles."""
OK = 200
"""What another API answers, to a creation too."""
SHED = 503
"""The one status besides the expected that a server under an open loop may answer: it refuses what is too much."""


@dataclass(frozen=True)
class Load:
    """How much is asked: `connections` clients in a closed loop, or an open loop at a constant rate.

    The rate is `rate` requests a second, or `share` of what the same contestant answered a second, at the median
    of its rounds, to the same workload from as many clients in a closed loop.
    """

    connections: int
    rate: float | None = None
    share: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether requests fall due whatever the server does."""
        return self.rate is not None or self.share is not None

    @property
    def title(self) -> str:
        """For headings."""
        clients = f"{self.connections} connection{'s' if self.connections != 1 else ''}"
        if self.rate is not None:
            return f"{clients}, open loop at {self.rate:,.0f} requests/s"
        if self.share is not None:
            return f"{clients}, open loop at {self.share:.0%} of each one's closed-loop rate"
        return f"{clients}, closed loop"


@dataclass
class Measurement:
    """One contestant's part of one round. CPU in microseconds for each answer."""

    workload: str
    contestant: str
    load: Load
    round: int
    rate: float
    """Answers a second with the expected status."""
    offered: float | None
    """Open loop: requests a second that fell due."""
    p50: float
    p99: float
    p999: float
    server_cpu: float
    database_cpu: float
    generator_cpu: float
    others: float
    """The share of the machine's cores that was taken by processes that have nothing to do with this."""
    fewest: int
    most: int
    shed: int
    never_sent: int
    latencies: list[tuple[int, int]]
    faults: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As plain values; the histogram's buckets are those of `Histogram`."""
        return asdict(self)


def _generated(job: Job) -> Result:
    process = subprocess.run(
        [sys.executable, "-m", "tests.load.generator"],
        input=json.dumps(asdict(job)),
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        check=False,
        timeout=job.seconds + 60,
    )
    if process.returncode != 0:
        # What it said on standard error has been seen; the others can still be measured.
        return Result(seconds=job.seconds, elapsed=job.seconds, lost=1, faults=["the generator failed"])
    return Result(**json.loads(process.stdout))


class Rounds:
    """Runs workloads against servers that share a database, and keeps what was measured."""

    def __init__(
        self,
        dataset: Dataset,
        servers: Sequence[Server],
        *,
        rounds: int,
        seconds: float,
        say: Callable[[str], None],
        own: Mapping[str, Mapping[str, list[str]]] | None = None,
    ) -> None:
        """``own`` has the requests by workload of contestants that speak another API, and are asked nothing else."""
        self.dataset = dataset
        self.servers = servers
        self.rounds = rounds
        self.seconds = seconds
        self.say = say
        self.own = own or {}
        self.measurements: list[Measurement] = []
        self.faults: list[str] = []

    def run(self, workload: Workload, loads: Sequence[Load]) -> None:
        """Measure one workload under every load."""
        self.dataset.maintain()
        bodies: dict[str, dict[str, str]] = {}
        servers = [one for one in self.servers if self.can(workload, one.contestant.name)]
        for server in servers:
            result = self._generate(workload, server, connections=16, seconds=WARM_UP, rate=None)
            bodies[server.contestant.name] = result.bodies
            self.judge(workload, server, result, may_shed=False)
        if len(servers) > 1 and workload.compared:
            self._compare(workload, bodies)
        for load in loads:
            for number in range(self.rounds):
                # Whoever starts this round is last in the next one.
                turn = number % max(1, len(servers))
                for server in [*servers[turn:], *servers[:turn]]:
                    self._measure(workload, server, load, number)

    def requests_of(self, workload: Workload, name: str) -> list[str]:
        """What a contestant is asked."""
        return self.own.get(name, {}).get(workload.name, workload.requests)

    def can(self, workload: Workload, name: str) -> bool:
        """Whether a contestant can be asked it."""
        if name in self.own:
            return workload.name in self.own[name]
        return workload.only in {None, name} and (workload.of is None or name in workload.of)

    def _measure(self, workload: Workload, server: Server, load: Load, number: int) -> None:
        rate = load.rate
        if load.share is not None:
            rate = load.share * self._capacity(workload, server, load.connections)
        result = self._generate(
            workload, server, connections=load.connections, seconds=self.seconds, rate=rate
        )
        faults = self.judge(workload, server, result, may_shed=load.is_open)
        latencies = Histogram.from_json(result.latencies)
        per_answer = 1e6 / max(1, result.answers)
        measurement = Measurement(
            workload=workload.name,
            contestant=server.contestant.name,
            load=load,
            round=number,
            rate=result.answers_in_window / result.seconds,
            offered=rate,
            p50=latencies.quantile(0.5),
            p99=latencies.quantile(0.99),
            p999=latencies.quantile(0.999),
            server_cpu=result.server_cpu * per_answer,
            database_cpu=result.database_cpu * per_answer,
            generator_cpu=result.generator_cpu * per_answer,
            others=result.others_cpu / result.elapsed / (os.cpu_count() or 1),
            fewest=result.fewest_of_a_client,
            most=result.most_of_a_client,
            shed=result.statuses.get(str(SHED), 0) if load.is_open else 0,
            never_sent=result.never_sent,
            latencies=result.latencies,
            faults=faults,
        )
        self.measurements.append(measurement)
        self.say(
            f"{workload.name:7} {load.connections:4} {server.contestant.name:16} round {number + 1}: "
            f"{measurement.rate:8,.0f}/s  p50 {measurement.p50:7.1f}  p99 {measurement.p99:7.1f} ms  "
            f"CPU {measurement.server_cpu:6,.0f} + {measurement.database_cpu:5,.0f} us  "
            f"others {measurement.others:.0%}"
        )

    def _capacity(self, workload: Workload, server: Server, connections: int) -> float:
        closed = sorted(
            measured.rate
            for measured in self.measurements
            if (measured.workload, measured.contestant, measured.load)
            == (workload.name, server.contestant.name, Load(connections))
        )
        if not closed:
            raise ValueError("an open loop by share needs the closed loop with as many connections before it")
        return closed[len(closed) // 2]

    def _generate(
        self, workload: Workload, server: Server, *, connections: int, seconds: float, rate: float | None
    ) -> Result:
        requests = self.requests_of(workload, server.contestant.name)
        if workload.fresh is not None:
            requests = workload.fresh(int(seconds * MOST_A_SECOND))
        job = Job(
            port=server.port,
            requests=requests,
            expected_status=workload.expected_status,
            also_expected=OK if server.contestant.name in self.own else workload.also_expected,
            connections=connections,
            seconds=seconds,
            rate=rate,
            server_pid=server.pid,
            database_pid=self.dataset.postmaster,
        )
        if workload.beside is None:
            return _generated(job)
        others = replace(
            job,
            requests=self.requests_of(workload.beside, server.contestant.name),
            expected_status=workload.beside.expected_status,
            connections=16,
            rate=BESIDE,
        )
        with ThreadPoolExecutor(1) as pool:
            beside = pool.submit(_generated, others)
            result = _generated(job)
        self.judge(workload.beside, server, beside.result(), may_shed=False)
        return result

    def judge(self, workload: Workload, server: Server, result: Result, *, may_shed: bool) -> list[str]:
        """Note what went wrong: a measurement with errors in it says nothing."""
        allowed = {str(workload.expected_status), str(workload.also_expected)}
        allowed |= {str(SHED)} if may_shed else set()
        allowed |= {str(OK)} if server.contestant.name in self.own else set()
        wrong = {status: count for status, count in result.statuses.items() if status not in allowed}
        faults = [f"{count} answers {status}" for status, count in wrong.items()]
        if result.lost:
            faults.append(f"{result.lost} requests without an answer")
        if faults:
            faults += result.faults[:2]
            self.faults.append(f"{workload.name}, {server.contestant.name}: {'; '.join(faults)}")
        return faults

    def _compare(self, workload: Workload, bodies: dict[str, dict[str, str]]) -> None:
        """Hold every contestant's first answers against the limit's, or the first contestant's without it.

        Those of another API are shaped in another way.
        """
        bodies = {name: own for name, own in bodies.items() if name not in self.own}
        if not bodies:
            return
        reference = LIMIT if LIMIT in bodies else next(iter(bodies))
        for name, own in bodies.items():
            if name != reference:
                found = list(differences(bodies[reference], own, created=workload.writes))
                self.faults += [
                    f"{workload.name}: {reference} and {name} do not answer the same: {each}"
                    for each in found[:5]
                ]
                compared = len(bodies[reference].keys() & own.keys())
                if not compared:
                    self.faults.append(f"{workload.name}: no answer of {reference} and {name} to compare")
                elif not found:
                    self.say(
                        f"{workload.name:7} {name}: the same content as {reference} in {compared} answers"
                    )
