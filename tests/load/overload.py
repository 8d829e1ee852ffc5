"""`python -m tests.load.overload`: what is left of Tradepost at a multiple of what it can do, with overload control and without.

For each workload: the closed loop says the capacity, half of it how quick an unloaded server is, and then so many times the
capacity comes for a while, followed by half of it. Servers and database have one core of the machine, the crowd the other.
``--full`` does all of it, and writes it down: in some half an hour for each engine.

A refusal costs something, too: at n times the capacity, where it costs r times what an answer does, no server can answer more
than (1 - n r) / (1 - r) of its capacity. The table has r, and that ceiling beside what was reached.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import resource
import secrets
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tests.load.contestants import CONTESTANTS, ROOT, running
from tests.load.crowd import PROBE, Job
from tests.load.database import filled_database
from tests.load.generator import Job as ClosedJob
from tests.load.picture import Bar, bars
from tests.load.processor_time import seconds_of_tree
from tests.load.uploads import encoded as upload
from tests.load.uploads import form
from tests.load.workloads import log_in
from tests.uploading import pdf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.load.contestants import Server
    from tests.load.database import Dataset

CONTROLLED = replace(
    CONTESTANTS["tradepost"],
    name="controlled",
    # A minute of uploads by a hundred people is more than they may keep.
    environment={**CONTESTANTS["tradepost"].environment, "UPLOAD_QUOTA_FILES": "1000000000"},
)
UNCONTROLLED = replace(
    CONTROLLED,
    name="uncontrolled",
    title="the same without overload control",
    environment={**CONTROLLED.environment, "OVERLOAD_CONTROL": "false"},
)
IN_TIME = 1.0
"""Seconds within which an answer is of use."""
AFTER = 3.0
"""Seconds of half the capacity after the overload."""
LEAD = 2.0
SHEDDING = CONTESTANTS["fastify-shedding"]
CROWDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "idle": {"idle": 5_000},
    "fresh": {"fresh": True},
    "storm": {"retries": 3},
}
"""What a crowd does besides: most of its connections are idle; each request is on a connection of its own; who is refused, or
not answered, asks again at once."""
NEW_CONNECTIONS = 2_000
"""A second, of the fresh ones."""
ANSWERED = {200, 201}
COLOURS = {CONTROLLED.name: "#1f6f54", UNCONTROLLED.name: "#8a8f98", SHEDDING.name: "#c98a1b"}
RESULTS = Path(__file__).with_name("results")
DOCUMENT = 16 * 1024
"""Bytes of an upload in the mix."""
CONNECTIONS = 64
CORES = sorted(os.sched_getaffinity(0))
SHEDDING_DOES = {"points", "create"}
"""Fastify's server here filters nothing and searches nothing."""
CHEAP = {"points", "create"}
"""Of their capacity 1.5 times is asked for, too: refusing costs about as much as answering."""
MOST_RATE = 10_000
"""Requests a second that the crowd can send and see to; where the capacity is too high for a multiple, it is this many."""
BESIDE_SECONDS = 20.0
"""For which the servers beside ours are asked, at most."""


@dataclass(frozen=True)
class Seen:
    """What came of one overload; times in milliseconds."""

    workload: str
    contestant: str
    times: float
    capacity: float
    unloaded_p99: float
    goodput: float
    """Answers within a second, to those that there can be."""
    answer_cpu: float
    """Microseconds of server and database in the closed loop."""
    refusal_cpu: float
    """Microseconds of what is left when the answers are taken out."""
    possible: float
    """The goodput that these two leave."""
    p50: float
    p99: float
    refused: float
    refusal_p99: float
    unanswered: int
    others: dict[str, int]
    probe_worst: float
    probes_failed: int
    first_refusal: float
    """How long after the step somebody was first told to come back, or 0."""
    last_refusal: float
    """How long after the end somebody came who was still refused, or 0."""
    faults: dict[str, int]


def filtered_lists(dataset: Dataset) -> list[str]:
    """Lists that are filtered, each another: nobody shares them."""
    return [
        f"/api/v1/items/?tag={quote(tag)}&min_price={price}&limit=20&sort=-price"
        for price in range(1, 60)
        for tag in dataset.tags[:20]
    ]


def searches(dataset: Dataset) -> list[str]:
    """Searches for words of titles."""
    words = sorted({word for title in dataset.titles for word in title.split() if len(word) > 3})
    return [
        f"/api/v1/items/search/?q={quote(word)}&limit=20&skip={skip}" for skip in range(20) for word in words
    ]


def points(dataset: Dataset) -> list[str]:
    """Items, one at a time."""
    return [f"/api/v1/items/{item_id}" for item_id in dataset.item_ids]


def mixed(dataset: Dataset, tokens: Sequence[str]) -> list[str]:
    """Of twenty requests seven lists, seven items, three items made, two searches and a document of 16 KiB brought."""
    kinds = {
        name: itertools.cycle(encoded(name, dataset, tokens))
        for name in ("lists", "searches", "points", "create")
    }
    of = dict(zip(dataset.emails, tokens, strict=False))
    body = form(b"files", pdf(DOCUMENT - 20)[:DOCUMENT])
    kinds["upload"] = itertools.cycle(
        upload(f"/api/v1/upload/items/{item_id}/documents/", of[email], body).decode("latin-1")
        for item_id, email in dataset.owned[:100]
        if email in of
    )
    turn = ["lists", "points", "create", "lists", "points"] * 4
    turn[5], turn[12], turn[14] = "searches", "upload", "searches"
    return [next(kinds[kind]) for _ in range(100) for kind in turn]


def encoded(name: str, dataset: Dataset, tokens: Sequence[str]) -> list[str]:
    """The requests of a workload, by many people in turn."""
    if name == "mix":
        return mixed(dataset, tokens)
    if name == "create":
        body = '{"title":"Past its capacity","price":9.5,"tags":["load","test"]}'
        return [
            f"POST /api/v1/items/ HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            for token in tokens
        ]
    paths = {"lists": filtered_lists, "searches": searches, "points": points}[name](dataset)
    return [
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {tokens[number % len(tokens)]}\r\n\r\n"
        for number, path in enumerate(paths)
    ]


def capacity(
    server: Server, dataset: Dataset, name: str, requests: list[str], seconds: float = 3.0
) -> tuple[float, float]:
    """Answers a second in a closed loop, of a server that refuses nothing, and seconds of CPU for each."""
    job = ClosedJob(
        server.port,
        requests,
        200,
        CONNECTIONS,
        seconds,
        settling=0.3,
        also_expected=201,
        server_pid=server.pid,
        database_pid=dataset.postmaster,
    )
    run("generator", asdict(replace(job, seconds=1.0)), 1)
    result = run("generator", asdict(job), seconds)
    answers: int = result["answers_in_window"]
    if not answers:
        raise RuntimeError(f"no answers: {result['faults']}")
    return answers / seconds, (result["server_cpu"] + result["database_cpu"]) / result["answers"]


def run(module: str, job: dict[str, object], seconds: float) -> Any:
    """Run a generator with a job to its end."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.load.{module}"],
        input=json.dumps(job),
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        check=True,
        timeout=2 * seconds + 60,
        preexec_fn=_on_the_last_core,
    )
    return json.loads(done.stdout)


def come_to_rest(server: Server, dataset: Dataset, patience: float = 30.0) -> None:
    """Wait until a server has done what was asked of it before: it may work on for those who are gone."""
    until = time.monotonic() + patience
    worked = cpu(server, dataset)
    while time.monotonic() < until:
        time.sleep(0.5)
        before, worked = worked, cpu(server, dataset)
        if worked - before < 0.05:
            return


def _on_the_last_core() -> None:
    os.sched_setaffinity(0, {max(CORES)})


def quantile(values: Sequence[float], share: float) -> float:
    """A quantile in milliseconds, 0 of nothing."""
    ordered = sorted(values)
    return 1e3 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def cpu(server: Server, dataset: Dataset) -> float:
    """Seconds that a server and its database have worked."""
    database = 0.0 if dataset.postmaster is None else seconds_of_tree(dataset.postmaster)
    return seconds_of_tree(server.pid) + database


def overload(
    server: Server,
    dataset: Dataset,
    name: str,
    requests: list[str],
    *,
    most: float,
    answer_cpu: float,
    times: float,
    seconds: float,
    crowd: str,
) -> Seen:
    """Ask for a multiple of what can be answered."""
    times = NEW_CONNECTIONS / most if crowd == "fresh" else times
    calm = run("crowd", asdict(Job(server.port, requests, [(3.0, most * 0.5)])), 3)
    phases = [(LEAD, most * 0.5), (seconds, most * times), (AFTER, most * 0.5)]
    job = Job(server.port, requests, phases, most_connections=10_000, **CROWDS[crowd])
    worked = cpu(server, dataset)
    came = run("crowd", asdict(job), sum(phase[0] for phase in phases))
    worked = cpu(server, dataset) - worked
    end = LEAD + seconds
    asked = [tuple(each) for each in came["asked"]]
    during = [each for each in asked if each[1] != PROBE and LEAD <= each[0] < end]
    good = [each for each in during if each[2] in ANSWERED]
    in_time = [each for each in good if each[3] <= IN_TIME and each[0] + each[3] < end]
    refused = [each for each in during if each[2] == 503]
    probes = [each for each in asked if each[1] == PROBE]
    statuses = Counter(each[2] for each in during)
    answered, turned_away = (
        sum(each[2] in statuses and each[1] != PROBE for each in asked) for statuses in (ANSWERED, {503})
    )
    refusal_cpu = max(0.0, worked - answered * answer_cpu) / turned_away if turned_away else 0.0
    share = refusal_cpu / answer_cpu
    return Seen(
        workload=name if crowd == "plain" else f"{name}, {crowd}",
        contestant=server.contestant.name,
        times=times,
        capacity=most,
        unloaded_p99=quantile([each[3] for each in calm["asked"] if each[1] != PROBE], 0.99),
        goodput=len(in_time) / seconds / most,
        answer_cpu=answer_cpu * 1e6,
        refusal_cpu=refusal_cpu * 1e6,
        possible=max(0.0, (1 - times * share) / (1 - share)) if share < 1 else 0.0,
        p50=quantile([each[3] for each in good], 0.5),
        p99=quantile([each[3] for each in good], 0.99),
        refused=len(refused) / max(1, len(during)),
        refusal_p99=quantile([each[3] for each in refused], 0.99),
        unanswered=statuses[0],
        others={
            str(status): count for status, count in statuses.items() if status not in {0, 503, *ANSWERED}
        },
        probe_worst=1e3 * max(each[3] for each in probes),
        probes_failed=sum(each[2] != 200 for each in probes),
        first_refusal=1e3 * (min((each[0] + each[3] for each in refused), default=LEAD) - LEAD),
        last_refusal=1e3
        * max((each[0] - end for each in asked if each[2] == 503 and each[0] > end), default=0),
        faults=came["faults"],
    )


def table(seen: Sequence[Seen]) -> str:
    """A table for a page."""
    lines = [
        "| workload | x capacity | | goodput (possible) | CPU us of an answer, of a refusal | p50 / p99 ms (unloaded p99) | refused, p99 ms | first after the step, last after the end, ms | unanswered | slowest probe ms |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.workload} ({one.capacity:,.0f}/s) | {one.times:.3g} | {one.contestant} | {one.goodput:.0%} ({one.possible:.0%}) | "
        f"{one.answer_cpu:,.0f}, {one.refusal_cpu:,.0f} | "
        f"{one.p50:,.0f} / {one.p99:,.0f} ({one.unloaded_p99:,.0f}) | {one.refused:.0%}, {one.refusal_p99:,.0f} | "
        f"{one.first_refusal:,.0f}, {one.last_refusal:,.0f} | {one.unanswered:,} | {one.probe_worst:,.0f} |"
        for one in seen
    ]
    return "\n".join(lines)


def heading(options: argparse.Namespace, engine: str) -> str:
    """What a reader must know of the run."""
    return (
        f"Python {platform.python_version()}, {engine}, {len(CORES)} cores: one for servers and database, one for the crowd. "
        f"{options.items:,} items.\n"
        f"{options.seconds:g} s at so many times the capacity ({MOST_RATE:,}/s at most), in an open loop, of the servers beside ours "
        f"{min(BESIDE_SECONDS, options.seconds):g} s; latency counts from when a request was due. "
        f"Goodput: answers within {IN_TIME:g} s."
    )


def drawn(seen: Sequence[Seen]) -> str:
    """A picture of the goodput."""
    groups: dict[str, list[Bar]] = {}
    for one in seen:
        title = f"{one.workload}, {one.times:.3g} times the capacity of {one.capacity:,.0f}/s"
        said = f"{one.goodput:.0%}, p99 {one.p99:,.0f} ms"
        groups.setdefault(title, []).append(Bar(one.contestant, COLOURS[one.contestant], one.goodput, said))
    return bars(groups, ["Answers within a second, to the capacity"])


def kinds(name: str, options: argparse.Namespace) -> list[tuple[float, str]]:
    """How many times the capacity of a workload is asked for, and by which crowds."""
    times = {float(each) for each in options.times.split(",")} | ({1.5} if name in CHEAP else set())
    return list(itertools.product(sorted(times), options.crowds.split(",")))


def measure(options: argparse.Namespace, dataset: Dataset, secret: str) -> list[Seen]:
    """Measure all that was asked for, one after the other."""
    seen: list[Seen] = []
    with ExitStack() as stack:
        servers = [
            stack.enter_context(
                running(contestant, database_url=dataset.url, secret=secret, ready_path="/readyz")
            )
            for contestant in (UNCONTROLLED, CONTROLLED)
        ]
        if options.beside and not options.sqlite:
            servers.append(
                stack.enter_context(
                    running(SHEDDING, database_url=dataset.url, secret=secret, ready_path="/livez")
                )
            )
        tokens = log_in(servers[0], dataset)
        for name in options.workloads.split(","):
            requests = encoded(name, dataset, tokens)
            at_most = set[str]()
            for times, crowd in kinds(name, options):
                if crowd in at_most:
                    continue
                most, answer_cpu = capacity(servers[0], dataset, name, requests)
                if times * most > MOST_RATE:
                    at_most.add(crowd)
                for server in servers if options.beside else servers[1:2]:
                    if server.contestant is SHEDDING:
                        if name not in SHEDDING_DOES:
                            continue
                        # Another program, with a capacity of its own.
                        most, answer_cpu = capacity(server, dataset, name, requests)
                    seconds = options.seconds if server.contestant is CONTROLLED else BESIDE_SECONDS
                    one = overload(
                        server,
                        dataset,
                        name,
                        requests,
                        most=most,
                        answer_cpu=answer_cpu,
                        times=min(times, MOST_RATE / most),
                        seconds=min(seconds, options.seconds),
                        crowd=crowd,
                    )
                    come_to_rest(server, dataset)
                    seen.append(one)
                    sys.stderr.write(f"{json.dumps(asdict(one))}\n")
    return seen


def main() -> int:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.overload", description=__doc__)
    parser.add_argument("--workloads", default="lists", help="of lists,searches,points,create,mix")
    parser.add_argument("--times", default="3,10")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--crowds", default="plain", help=f"of {','.join(CROWDS)}")
    parser.add_argument(
        "--beside",
        action="store_true",
        help="the same server without overload control, and Fastify with its load-shedding plugin, too",
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--record", metavar="NAME", help="write NAME.md and NAME.svg into results/")
    parser.add_argument(
        "--full",
        action="store_true",
        help="all workloads for 60 s, beside the others, recorded by the engine's name",
    )
    options = parser.parse_args()
    if options.full:
        options.workloads, options.seconds, options.beside = "lists,searches,points,create,mix", 60.0, True
        options.record = "overload-sqlite" if options.sqlite else "overload-postgresql"
    # Thousands of connections, of the servers as of the crowd.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if len(CORES) > 1:
        # Inherited by the servers and the database.
        os.sched_setaffinity(0, set(CORES[:-1]))
    secret = secrets.token_urlsafe(32)
    seen: list[Seen] = []
    with filled_database(
        items=options.items, users=100, secret=secret, durable=False, sqlite=options.sqlite
    ) as dataset:
        dataset.maintain()
        seen += measure(options, dataset, secret)
    report = f"{heading(options, dataset.engine)}\n\n{table(seen)}\n"
    sys.stdout.write(report)
    if options.record:
        RESULTS.joinpath(f"{options.record}.md").write_text(report)
        RESULTS.joinpath(f"{options.record}.svg").write_text(drawn(seen))
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in seen], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
