"""Several processes that share one run: each has a core for itself, and they begin together."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import IO, Any, cast

from tradepost.loading.generator import generate
from tradepost.loading.job import Job, Stage
from tradepost.loading.precise_loop import new_event_loop
from tradepost.loading.record import Record


class GeneratorDied(Exception):
    """A process of the run ended without a result."""


def run_job(job: Job, *, processes: int) -> Record:
    """Run a job in this process, or in several at once; what was interrupted returns what there is by then."""
    if processes == 1:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return Record.together([runner.run(generate(job))])
    # The terminal sends the signal to all of them: they end politely, and this one waits for what they say.
    was = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return Record.together(
            _results([_started(job.share(number, processes)) for number in range(processes)])
        )
    finally:
        signal.signal(signal.SIGINT, was)


def _started(job: Job) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tradepost.loading.processes"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ourselves
    stdin = cast("IO[str]", process.stdin)
    stdin.write(json.dumps(asdict(job)))
    stdin.close()
    return process


def _results(processes: Sequence["subprocess.Popen[str]"]) -> list[dict[str, Any]]:
    results = []
    for process in processes:
        stdout = cast("IO[str]", process.stdout)
        said = stdout.read()
        stdout.close()
        if process.wait() or not said:
            raise GeneratorDied(f"a process of the run ended with status {process.returncode}")
        results.append(json.loads(said))
    return results


def main() -> None:
    """Run the job that standard input tells, and write what came of it."""
    values = json.load(sys.stdin)
    values["stages"] = tuple(Stage(**stage) for stage in values["stages"])
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        json.dump(runner.run(generate(Job(**(values | lists)))), sys.stdout)


if __name__ == "__main__":
    main()
