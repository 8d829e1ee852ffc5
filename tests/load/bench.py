"""`python -m tests.load.bench`: measure Tradepost beside the hand-written limit, and beside others if asked.

Brings up a PostgreSQL with 100,000 items and one server process for each contestant, has them answer the same
requests in turn, checks that they answer the same, and prints medians with the lowest and highest round. The exit
status is 1 when an answer was wrong, missing or different. On a machine that does other work at the same time the
absolute figures mean little; ratios within a run, and CPU time, hold up better.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import secrets
import signal
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tests.load import pocketbase
from tests.load.contestants import CONTESTANTS, running
from tests.load.database import filled_database
from tests.load.generator import SETTLING
from tests.load.in_bulk import BULK, EXPORT, move
from tests.load.in_bulk import table as bulk_table
from tests.load.picture import svg
from tests.load.report import markdown
from tests.load.rounds import WARM_UP, Load, Rounds
from tests.load.summary import Spread, summarise
from tests.load.uploads import MEBIBYTE, UPLOAD, UPLOADERS, compare, table
from tests.load.workloads import build_workloads, deep_cursors, log_in, make_keys, plan_events

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from tests.load.database import Dataset
    from tests.load.in_bulk import Moved
    from tests.load.uploads import Uploaded
    from tests.load.workloads import Workload

Number = TypeVar("Number", int, float)

RESULTS = Path(__file__).with_name("results")
WORKLOADS = (
    *(
        "read",
        "read-304",
        "list",
        "pages",
        "total",
        "deep",
        "tagged",
        "search-common",
        "search-rare",
        "search-typo",
    ),
    *("me", "me-key", "read-beside", "api", "create", "create-key", "patch", "delete", "crud", "join"),
    *(UPLOAD, BULK, EXPORT),
)
ON_SQLITE = {
    "tradepost",
    "tradepost-limited",
    "tradepost-local",
    "straightforward",
    "limit-sqlite",
    pocketbase.NAME,
}
EXTRA = 0.5
"""Seconds that starting the generator takes beside the measuring, for the estimate of a run's length."""


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.bench", description=__doc__)
    parser.add_argument(
        "--contestants",
        type=_some_of(CONTESTANTS),
        default=["tradepost", "limit"],
        help=f"comma-separated, or all: {', '.join(CONTESTANTS)} (default: tradepost,limit)",
    )
    parser.add_argument(
        "--workloads",
        type=_some_of(WORKLOADS),
        default=["read", "list", "me", "create"],
        help=f"comma-separated, or all: {', '.join(WORKLOADS)} (default: read,list,me,create)",
    )
    parser.add_argument(
        "--connections", type=_numbers(int), default=[64], help="such as 1,64,512 (default: 64)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement (default: 5)")
    parser.add_argument(
        "--open-rates",
        type=_numbers(float),
        default=[],
        help="also open loops at these requests a second, with the largest number of connections",
    )
    parser.add_argument(
        "--open-shares",
        type=_numbers(float),
        default=[],
        help="the same at these shares of what each contestant does in the closed loop, such as 0.7,3",
    )
    parser.add_argument(
        "--upload-size", type=int, default=MEBIBYTE, help="bytes of an uploaded file (default: 1 MiB)"
    )
    parser.add_argument("--items", type=int, default=100_000, help="in the database (default: 100000)")
    parser.add_argument("--users", type=int, default=1_000, help="in the database (default: 1000)")
    parser.add_argument(
        "--sqlite",
        action="store_true",
        help="on SQLite instead of PostgreSQL; for tradepost, straightforward, limit-sqlite, and pocketbase, which is installed then",
    )
    parser.add_argument(
        "--durable",
        action="store_true",
        help="let PostgreSQL wait for the disk at each commit (default: not)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement there")
    parser.add_argument(
        "--record", metavar="NAME", help=f"write NAME.md, NAME.svg and NAME.json into {RESULTS.name}/"
    )
    options = parser.parse_args(argv)
    if options.sqlite and (others := set(options.contestants) - ON_SQLITE):
        parser.error(
            f"on SQLite, only {' and '.join(sorted(ON_SQLITE))} can be measured, not {', '.join(others)}"
        )
    if not options.sqlite and pocketbase.NAME in options.contestants:
        parser.error(f"{pocketbase.NAME} has SQLite alone: --sqlite")
    return options


def main() -> int:
    """Run the bench; the exit status."""
    options = arguments()
    # The servers are children of this process: leave by the normal way, which ends them.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    most = max(options.connections)
    loads = [
        *(Load(connections) for connections in options.connections),
        *(Load(most, rate=rate) for rate in options.open_rates),
        *(Load(most, share=share) for share in options.open_shares),
    ]
    each = options.seconds + SETTLING + EXTRA
    warming = WARM_UP + SETTLING + EXTRA
    pairs = len(options.workloads) * len(options.contestants)
    estimate = pairs * (warming + len(loads) * options.rounds * each)
    say(f"Measuring takes about {estimate / 60:.1f} minutes after the database is filled")
    secret = secrets.token_urlsafe(32)
    with ExitStack() as stack:
        dataset = stack.enter_context(
            filled_database(
                items=options.items,
                users=options.users,
                secret=secret,
                durable=options.durable,
                sqlite=options.sqlite,
            )
        )
        ready_path = f"/api/v1/items/{dataset.item_ids[0]}"
        servers = {
            name: stack.enter_context(
                running(
                    CONTESTANTS[name],
                    database_url=dataset.url,
                    secret=secret,
                    ready_path=pocketbase.HEALTH if name == pocketbase.NAME else ready_path,
                )
            )
            # Tradepost is always there: it issues the tokens.
            for name in dict.fromkeys(["tradepost", *options.contestants])
        }
        tokens = log_in(servers["tradepost"], dataset)
        event_ids = plan_events(servers["tradepost"], tokens) if "join" in options.workloads else []
        cursors = deep_cursors(servers["tradepost"], dataset) if "deep" in options.workloads else []
        keys = make_keys(servers["tradepost"], tokens) if "me-key" in options.workloads else []
        workloads = build_workloads(dataset, tokens, event_ids, cursors, keys, taking=servers["tradepost"])
        measured = [servers[name] for name in options.contestants]
        own = {
            name: pocketbase.fill(server, dataset)
            for name, server in servers.items()
            if name == pocketbase.NAME
        }
        rounds = Rounds(dataset, measured, rounds=options.rounds, seconds=options.seconds, say=say, own=own)
        for workload in workloads.values():
            if workload.name in options.workloads:
                rounds.run(workload, loads)
        uploaded = []
        if UPLOAD in options.workloads:
            takers = [server for server in measured if server.contestant.name in UPLOADERS]
            uploaded = compare(takers, tokens, rounds=options.rounds, size=options.upload_size, say=say)
        moved = []
        if BULK in options.workloads or EXPORT in options.workloads:
            moved = move(
                servers["tradepost"],
                dataset,
                tokens[0],
                names=options.workloads,
                rounds=options.rounds,
                say=say,
            )
    write(options, dataset, rounds, workloads, (uploaded, moved))
    for fault in rounds.faults:
        say(f"WRONG: {fault}")
    return 1 if rounds.faults else 0


def write(
    options: argparse.Namespace,
    dataset: Dataset,
    rounds: Rounds,
    workloads: Mapping[str, Workload],
    others: tuple[Sequence[Uploaded], Sequence[Moved]],
) -> None:
    """Write what was measured, where the command line says."""
    uploaded, moved = others
    titles = {workload.name: workload.title for workload in workloads.values()}
    taken = [each.others for each in rounds.measurements]
    heading = describe(options, dataset, Spread.of(taken) if taken else None)
    sections = summarise(rounds.measurements)
    text = markdown(sections, titles, heading)
    if uploaded:
        lines = table(uploaded, rounds=options.rounds, size=options.upload_size)
        text += "\n".join(["", *lines])
    if moved:
        text += "\n".join(["", *bulk_table(moved, rounds=options.rounds)])
    sys.stdout.write(text)
    measurements = [each.to_json() for each in rounds.measurements]
    uploads = [asdict(each) for each in uploaded]
    bulks = [asdict(each) for each in moved]
    record = json.dumps({"run": heading, "measurements": measurements, "uploads": uploads, "in_bulk": bulks})
    if options.json:
        options.json.write_text(record + "\n")
    if options.record:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{options.record}.md").write_text(text)
        (RESULTS / f"{options.record}.json").write_text(record + "\n")
        (RESULTS / f"{options.record}.svg").write_text(svg(sections, titles, heading[:4]))


def describe(options: argparse.Namespace, dataset: Dataset, others: Spread | None) -> list[str]:
    """What a reader must know to judge the figures."""
    waits = options.durable or dataset.is_sqlite
    commits = "commits wait for the disk" if waits else "commits do not wait for the disk"
    database = dataset.engine
    return [
        f"Python {platform.python_version()}, {database} ({commits}), {os.cpu_count()} cores.",
        f"{dataset.items:,} items; one server process for each contestant; all on one machine.",
        f"Medians (lowest-highest) of {options.rounds} interleaved rounds of {options.seconds:g} s.",
        "How much other processes took of the cores meanwhile was not measured."
        if others is None
        else f"Meanwhile other processes took {others.median:.0%} ({others.low:.0%}-{others.high:.0%}) of the cores.",
        "CPU: user + system microseconds for each answer. Ratios: those within each round.",
        "Answers a client: of the worst and of the best served connection.",
        "",
        *(f"- `{name}`: {CONTESTANTS[name].title}" for name in options.contestants),
    ]


def say(line: str) -> None:
    """Tell how far the run is; standard output is the report's."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _some_of(known: Collection[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = list(known) if text == "all" else text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"no such name: {', '.join(unknown)}")
        return names

    return parse


def _numbers(kind: Callable[[str], Number]) -> Callable[[str], list[Number]]:
    return lambda text: [kind(part) for part in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
