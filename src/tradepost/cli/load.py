"""``tradepost load``: journeys at a rate of their own against a Tradepost, and a report on what came of it."""

import asyncio
import sys
from pathlib import Path

import click

from tradepost.loading.job import Job, Threshold, stages_of, thresholds_of
from tradepost.loading.journeys import MIXES
from tradepost.loading.processes import GeneratorDied, run_job
from tradepost.loading.report import Outcome, markdown, pictures
from tradepost.loading.target import Refused, Target, count_after, survey

PAST_THRESHOLD = 3
"""The exit status of a run that is past a threshold; 1 and 2 say that there was none."""
REPORT = "report.md"
"""The name of the text in the directory of a report."""


@click.command()
@click.argument("url")
@click.option(
    "--mix", default="browse", show_default=True, type=click.Choice(list(MIXES)), help="The journey."
)
@click.option(
    "--rate", default="200", show_default=True, help="Requests a second; several by commas share the time."
)
@click.option(
    "--duration", default=30.0, show_default=True, type=click.FloatRange(1, 86_400), help="In seconds."
)
@click.option(
    "--think",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 600),
    help="Seconds between two steps.",
)
@click.option(
    "--connections", default=500, show_default=True, type=click.IntRange(1, 50_000), help="At the most."
)
@click.option(
    "--processes", default=1, show_default=True, type=click.IntRange(1, 64), help="Of the generator."
)
@click.option(
    "--timeout",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0.1, 300),
    help="Seconds for an answer.",
)
@click.option(
    "--tokens",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Access tokens of people, one a line: tradepost tokens.",
)
@click.option(
    "--key", envvar="TRADEPOST_LOAD_KEY", help="An API key for everybody; a load test's lifts limits."
)
@click.option(
    "--threshold", "thresholds", multiple=True, help="p99=200ms or errors=1%; past it the status is 3."
)
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Of what is asked for.")
@click.option(
    "--report",
    type=click.Path(file_okay=False, path_type=Path),
    help="A directory for report.md and its pictures.",
)
def load(
    url: str,
    *,
    mix: str,
    rate: str,
    duration: float,
    think: float,
    connections: int,
    processes: int,
    timeout: float,
    tokens: Path | None,
    key: str | None,
    thresholds: tuple[str, ...],
    seed: int,
    report: Path | None,
) -> None:
    """Send journeys to URL at a rate that does not wait for it, and tell what came of it."""
    try:
        stages, wanted = stages_of(rate, duration), thresholds_of(thresholds)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    people = _people(tokens, key)
    if MIXES[mix].personal and not people:
        raise click.UsageError(
            f"{mix} needs people: --tokens FILE (tradepost tokens --users 100 > FILE), or --key"
        )
    if report is not None:
        # Before the run: it would be for nothing.
        try:
            report.mkdir(parents=True, exist_ok=True)
            (report / REPORT).touch()
        except OSError as error:
            raise click.UsageError(f"{report} cannot be written to: {error.strerror}") from error
    target = _surveyed(url, mix, people, is_key=key is not None)
    job = Job(
        url,
        mix,
        stages,
        think,
        connections,
        timeout,
        people,
        target.item_ids,
        target.event_ids,
        target.tags,
        seed,
        key is not None,
    )
    click.echo(f"{mix} at {rate} requests a second for {duration:g} s", err=True)
    try:
        record = run_job(job, processes=processes)
    except GeneratorDied as error:
        raise click.ClickException(str(error)) from error
    seconds = min(job.seconds, 1.0 + max(record.seconds, default=0))
    counted = None if target.counted is None else asyncio.run(count_after(url, before=target.counted))
    _tell(Outcome(job, processes, target, record, counted, seconds), wanted, report)


def _people(tokens: Path | None, key: str | None) -> tuple[str, ...]:
    """Return the header of each person."""
    if tokens is not None and key is not None:
        raise click.UsageError("--tokens and --key do not go together: a request shows one of them")
    if key is not None:
        return (f"X-API-Key: {key}",)
    try:
        lines = [] if tokens is None else tokens.read_text(encoding="ascii").split()
    except UnicodeDecodeError:
        raise click.UsageError(f"{tokens} holds no access tokens: they are ASCII") from None
    return tuple(f"Authorization: Bearer {line}" for line in lines)


def _surveyed(url: str, mix: str, people: tuple[str, ...], *, is_key: bool) -> Target:
    wants = {"upload": (), "events": ("events",), "read": ("items",), "browse": ("items",)}
    asked = wants.get(mix, ("items", "tags"))
    try:
        return asyncio.run(survey(url, person=people[0] if people else "", is_key=is_key, wants=asked))
    except (Refused, ValueError) as error:
        raise click.ClickException(str(error)) from error


def _tell(outcome: Outcome, thresholds: tuple[Threshold, ...], report: Path | None) -> None:
    text = markdown(outcome, thresholds, pictured=report is not None)
    if report is None:
        click.echo(text)
    else:
        files = {REPORT: text, **pictures(outcome)}
        files["latencies.hgrm"] = outcome.record.total.latencies.as_hgrm()
        for name, content in files.items():
            (report / name).write_text(content, encoding="utf-8")
        click.echo(f"{report / REPORT}")
    broken = outcome.broken(thresholds)
    for said in broken:
        click.echo(f"past {said}", err=True)
    if broken:
        sys.exit(PAST_THRESHOLD)
