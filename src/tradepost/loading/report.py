"""The report on a run: what was asked, what came of it at each rate, where it bent, and how far to believe it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tradepost.loading.drawing import drawn
from tradepost.loading.job import QUANTILES, Job, Threshold
from tradepost.loading.journeys import MIXES
from tradepost.loading.record import Record, Tally
from tradepost.loading.target import Target

ANSWERED: Final = 0.98
"""The share of what was due that must be answered well, at a rate that the host keeps up with."""
SLOWER: Final = 5.0
"""So many times the 99th percentile of the first rate, and at least ``NOTICED`` milliseconds: the host does not keep up."""
NOTICED: Final = 20.0
BUSY: Final = 0.8
"""The share of a core past which the generator itself may be what is slow."""
LATE: Final = 10.0
"""Milliseconds by which one in a hundred may begin late; with more, the machine of the generator is too busy."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run, and what came of it; ``counted`` is the host's own count of answers, None if it did not say."""

    job: Job
    processes: int
    target: Target
    record: Record
    counted: int | None
    seconds: float
    """How long it was, which may be less than was asked for."""

    @property
    def agrees(self) -> bool | None:
        """Whether host and client counted the same; requests without an answer may be in the host's count or not."""
        if self.counted is None:
            return None
        return self.record.answered <= self.counted <= self.record.answered + self.record.unanswered

    @property
    def core_share(self) -> float:
        """The share of a core that each process of the generator took."""
        return self.record.busy / max(0.001, self.seconds) / self.processes

    def broken(self, thresholds: Sequence[Threshold]) -> list[str]:
        """Return which thresholds the run is past, in words."""
        total = self.record.total
        said = []
        for threshold in thresholds:
            if threshold.name == "errors":
                value, unit = 100 * total.bad / max(1, total.due), "%"
            else:
                value, unit = total.latencies.quantile(QUANTILES[threshold.name]), "ms"
            if value > threshold.most or not total.due:
                said.append(f"{threshold.text}: it was {value:.3g}{unit}")
        return said

    def knee(self) -> int | None:
        """Return the first stage that the host did not keep up with; None if it kept up with all."""
        first = self.record.stages.get(0)
        if first is None:
            return None
        for number in range(len(self.job.stages)):
            tally = self.record.stages.get(number)
            if tally is None:
                return None
            if not self.keeps_up(tally):
                return number
        return None

    def keeps_up(self, tally: Tally) -> bool:
        """Tell whether the host answered a stage's requests well, and not much more slowly than those of the first."""
        slow = max(NOTICED, SLOWER * self.record.stages[0].latencies.quantile(0.99))
        return tally.good >= ANSWERED * tally.due and tally.latencies.quantile(0.99) <= slow

    def recovered_after(self) -> int | None:
        """Return after how many seconds of the last stage the host kept up again, to the end; None: it did not."""
        begun = round(self.job.seconds - self.job.stages[-1].seconds)
        last = max(self.record.seconds, default=begun)
        bad = [at for at, tally in self.record.seconds.items() if at >= begun and not self.keeps_up(tally)]
        after = max(bad) + 1 if bad else begun
        return after - begun if after <= last else None

    def doubts(self) -> list[str]:
        """Return why the figures may be the generator's own, in words."""
        said = []
        if self.core_share > BUSY:
            said.append(
                f"the generator took {self.core_share:.0%} of a core: give it more with --processes, or another machine"
            )
        late = self.record.late.quantile(0.99)
        if late > LATE:
            said.append(
                f"one in a hundred began {late:.0f} ms late or more: its machine had other things to do"
            )
        if self.agrees is False:
            said.append(
                "host and client counted differently: somebody else asked too, or requests were lost between"
            )
        return said


def markdown(outcome: Outcome, thresholds: Sequence[Threshold], *, pictured: bool) -> str:
    """Return the report; ``pictured`` with the pictures that lie beside it."""
    job, record, total = outcome.job, outcome.record, outcome.record.total
    broken = outcome.broken(thresholds)
    verdict = (
        "No threshold was set."
        if not thresholds
        else f"**Failed**: {'; '.join(broken)}."
        if broken
        else f"**Passed**: {', '.join(threshold.text for threshold in thresholds)}."
    )
    due = total.due / max(0.001, outcome.seconds)
    lines = [
        f"# Load test: {job.mix}, {outcome.seconds:.0f} s",
        "",
        (
            f"{job.url}, {outcome.target.service} {outcome.target.version} in {outcome.target.environment}; "
            f"the journey: {MIXES[job.mix].about}."
        ),
        "",
        verdict,
        "",
        f"{total.due:,} requests were due ({due:,.0f}/s), {total.good:,} were answered well, {total.bad:,} were not.",
        f"Half of them took {_ms(total, 'p50')}, 99 % up to {_ms(total, 'p99')}, the longest {_ms(total, 'max')}, from the",
        "moment at which each was due, the wait for a free connection included.",
        "",
        _bend(outcome),
        "",
        *(["![Requests a second](rate.svg)", "", "![Latency](latency.svg)", ""] if pictured else ()),
        "## By rate",
        "",
        *_table(
            [
                (f"{stage.rate:,.0f}/s", record.stages.get(number, Tally()), stage.seconds)
                for number, stage in enumerate(job.stages)
            ],
            "due at",
        ),
        "",
        "## By step",
        "",
        *_table([(step, tally, outcome.seconds) for step, tally in sorted(record.steps.items())], "step"),
        "",
        "## Errors",
        "",
        *([f"- {count:,} x {kind}" for kind, count in record.errors.most_common()] or ["None."]),
        "",
        "## How far to believe it",
        "",
        _count(outcome),
        "",
        (
            f"The generator: {outcome.processes} process{'es' if outcome.processes > 1 else ''}, {outcome.core_share:.0%} of a core "
            f"each, {record.busy / max(1, record.answered) * 1e6:,.0f} us of processor for each answer, at the most "
            f"{record.most_connections} connections; it began {record.late.quantile(0.5):.2f} ms late at the median, "
            f"{record.late.quantile(0.99):.2f} ms at the 99th percentile."
        ),
        *[f"**Mind**: {doubt}." for doubt in outcome.doubts()],
        "",
    ]
    return "\n".join(lines)


def _ms(tally: Tally, name: str) -> str:
    value = tally.latencies.quantile(QUANTILES[name])
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.2f} ms"  # noqa: PLR2004


def _bend(outcome: Outcome) -> str:
    stages, knee = outcome.job.stages, outcome.knee()
    if len(stages) == 1:
        kept = "kept up with" if knee is None else "did not keep up with"
        return f"The host {kept} {stages[0].rate:,.0f} requests a second."
    if knee is None:
        return f"**No knee**: the host kept up with every rate, up to {max(stage.rate for stage in stages):,.0f}/s."
    before = f", after it kept up with {stages[knee - 1].rate:,.0f}/s" if knee else ""
    text = f"**The knee**: at {stages[knee].rate:,.0f} requests a second the host did not keep up any more{before}."
    if stages[-1].rate <= stages[max(0, knee - 1)].rate and knee < len(stages) - 1:
        after = outcome.recovered_after()
        text += f" **The recovery**: back at {stages[-1].rate:,.0f}/s, it "
        text += "had not recovered by the end." if after is None else f"kept up again after {after} s."
    return text


def _count(outcome: Outcome) -> str:
    record = outcome.record
    if outcome.counted is None:
        return "The host's `/metrics` said nothing that could be compared."
    word = "**agree**" if outcome.agrees else "**do not agree**"
    unanswered = f" (and {record.unanswered:,} without an answer)" if record.unanswered else ""
    return f"Counts {word}: {record.answered:,} answers here{unanswered}, {outcome.counted:,} by the host's `/metrics`."


def _table(rows: Sequence[tuple[str, Tally, float]], first: str) -> list[str]:
    lines = [
        f"| {first} | due | answered well | not | well/s | p50 | p90 | p99 | p99.9 | max |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, tally, seconds in rows:
        quantiles = " | ".join(_ms(tally, quantile) for quantile in ("p50", "p90", "p99", "p99.9", "max"))
        lines.append(
            f"| {name} | {tally.due:,} | {tally.good:,} | {tally.bad:,} | {tally.good / max(0.001, seconds):,.0f} | {quantiles} |"
        )
    return lines


def pictures(outcome: Outcome) -> dict[str, str]:
    """Return the report's pictures by their file names."""
    seconds = sorted(second for second in outcome.record.seconds if second < outcome.job.seconds)
    tallies = [(float(second), outcome.record.seconds[second]) for second in seconds]
    marks, at = [], 0.0
    for stage in outcome.job.stages:
        marks.append(at)
        at += stage.seconds
    latency = {
        name: [(at, tally.latencies.quantile(QUANTILES[name])) for at, tally in tallies if tally.good]
        for name in ("p50", "p99", "max")
    }
    rate = {
        "due": [(at, float(tally.due)) for at, tally in tallies],
        "answered well": [(at, float(tally.good)) for at, tally in tallies],
        "not": [(at, float(tally.bad)) for at, tally in tallies],
    }
    return {
        "rate.svg": drawn("Requests, by when they were due", rate, unit="a second", marks=marks),
        "latency.svg": drawn(
            "Latency from when it was due", latency, unit="ms", marks=marks, logarithmic=True
        ),
    }
