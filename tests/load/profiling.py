"""`python -m tests.load.profiling`: where the time of a Tradepost process goes while it answers a workload.

Samples the server's stacks with py-spy from outside while the bench's generator loads it, and prints the functions that
take most: `self` is time in the function's own lines (and in C that it calls), `all` also in what it calls. The whole
stacks are kept, in the collapsed form that flame graph viewers read.
"""

from __future__ import annotations

import argparse
import json
import re
import secrets
import subprocess
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tests.load.bench import WORKLOADS, say
from tests.load.contestants import CONTESTANTS, ROOT, running
from tests.load.database import filled_database
from tests.load.generator import Job, Result
from tests.load.workloads import build_workloads, deep_cursors, log_in, make_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SAMPLES_A_SECOND = 500
_FRAME = re.compile(r"^(?P<name>.+) \((?P<file>.+?)(:\d+)?\)$")


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.profiling", description=__doc__)
    parser.add_argument("--workload", choices=WORKLOADS, default="read", help="default: read")
    parser.add_argument("--connections", type=int, default=64, help="default: 64")
    parser.add_argument("--seconds", type=int, default=10, help="default: 10")
    parser.add_argument("--items", type=int, default=100_000, help="in the database (default: 100000)")
    parser.add_argument("--sqlite", action="store_true", help="on SQLite instead of PostgreSQL")
    parser.add_argument("--top", type=int, default=40, help="functions to print (default: 40)")
    parser.add_argument(
        "--stacks",
        type=Path,
        default=ROOT / "build" / "profile.txt",
        help="where to keep them (default: build/profile.txt)",
    )
    return parser.parse_args(argv)


def main() -> int:
    """Profile; the exit status."""
    options = arguments()
    secret = secrets.token_urlsafe(32)
    with (
        filled_database(
            items=options.items, users=1_000, secret=secret, durable=False, sqlite=options.sqlite
        ) as dataset,
        running(
            CONTESTANTS["tradepost"], database_url=dataset.url, secret=secret, ready_path="/readyz"
        ) as server,
    ):
        tokens = log_in(server, dataset)
        workloads = build_workloads(
            dataset,
            tokens,
            cursors=deep_cursors(server, dataset),
            keys=make_keys(server, tokens),
            taking=server,
        )
        workload = workloads[options.workload]
        job = Job(
            port=server.port,
            requests=workload.requests,
            expected_status=workload.expected_status,
            also_expected=workload.also_expected,
            connections=options.connections,
            seconds=options.seconds + 4,
            rate=None,
            server_pid=server.pid,
            database_pid=dataset.postmaster,
        )
        generator = subprocess.Popen(
            [sys.executable, "-m", "tests.load.generator"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        if generator.stdin is None:
            raise RuntimeError("a pipe was asked for")
        generator.stdin.write(json.dumps(asdict(job)))
        generator.stdin.close()
        generator.stdin = None
        options.stacks.parent.mkdir(exist_ok=True)
        say(f"Sampling {options.seconds} s of {workload.title}")
        _record(server.pid, options.stacks, options.seconds)
        output, _ = generator.communicate(timeout=options.seconds + 60)
        result = Result(**json.loads(output))
        stacks = list(read_stacks(options.stacks.read_text().splitlines()))
    answers = max(1, result.answers)
    cpu = result.server_cpu * 1e6 / answers
    say(f"{result.answers_in_window / result.seconds:,.0f} answers/s, {cpu:,.0f} us of CPU each, sampled")
    sys.stdout.write(table(stacks, cpu=cpu, top=options.top))
    say(f"The whole stacks are in {options.stacks}")
    return 0


def _record(pid: int, output: Path, seconds: int) -> None:
    spy = Path(sys.executable).with_name("py-spy")
    subprocess.run(
        [
            *(str(spy), "record", "--pid", str(pid), "--output", str(output), "--format", "raw"),
            *("--duration", str(seconds), "--rate", str(SAMPLES_A_SECOND), "--nonblocking", "--function"),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def read_stacks(lines: Iterable[str]) -> Iterable[tuple[list[str], int]]:
    """Yield each collapsed stack, outermost function first, with the number of its samples."""
    for line in lines:
        frames, _, count = line.rpartition(" ")
        yield [_shortened(frame) for frame in frames.split(";")], int(count)


def _shortened(frame: str) -> str:
    """Return `function (package/file.py)` without what comes before the package."""
    found = _FRAME.match(frame)
    if found is None:
        return frame
    return f"{found['name']} ({'/'.join(Path(found['file']).parts[-2:])})"


def table(stacks: Iterable[tuple[list[str], int]], *, cpu: float, top: int) -> str:
    """Return the functions with the most time of their own; ``cpu`` is what all samples together stand for."""
    own: Counter[str] = Counter()
    inclusive: Counter[str] = Counter()
    for frames, count in stacks:
        own[frames[-1]] += count
        for frame in set(frames):
            inclusive[frame] += count
    samples = max(1, own.total())
    lines = ["  self us  self %  all %  function"]
    lines += [
        f"{count / samples * cpu:9.1f} {count / samples:7.1%} {inclusive[frame] / samples:6.1%}  {frame}"
        for frame, count in own.most_common(top)
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
