"""What came of a run: latencies by step, stage and second, and errors by kind; adds up over processes."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from tradepost.loading.histogram import Histogram

MOST_KINDS: Final = 50
"""Kinds of errors that are told apart."""


@dataclass(slots=True)
class Tally:
    """Requests of one step, stage or second: how many were due, answered as they should be, and went wrong."""

    due: int = 0
    good: int = 0
    bad: int = 0
    latencies: Histogram = field(default_factory=Histogram)

    def add(self, other: "Tally") -> None:
        """Add another's numbers."""
        self.due += other.due
        self.good += other.good
        self.bad += other.bad
        self.latencies.merge(other.latencies)

    def to_json(self) -> list[Any]:
        """Return it as JSON has it."""
        return [self.due, self.good, self.bad, self.latencies.to_json()]

    @classmethod
    def from_json(cls, values: list[Any]) -> "Tally":
        """Return what ``to_json`` wrote."""
        due, good, bad, latencies = values
        return cls(due, good, bad, Histogram.from_json(latencies))


class Record:
    """Latencies count from when a request was due, and are of good answers alone. Seconds are those when it was due."""

    def __init__(self) -> None:
        self.steps: defaultdict[str, Tally] = defaultdict(Tally)
        self.stages: defaultdict[int, Tally] = defaultdict(Tally)
        self.seconds: defaultdict[int, Tally] = defaultdict(Tally)
        self.late = Histogram()
        """By how much the generator itself was late to begin what was due."""
        self.errors: Counter[str] = Counter()
        self.answered = 0
        """Requests with a whole answer, whatever it was."""
        self.unanswered = 0
        self.busy = 0.0
        """Seconds of a processor that the generator took."""
        self.most_connections = 0

    def began(self, late: float) -> None:
        """Count something that was due, and begun by so many seconds too late."""
        self.late.counts[Histogram.bucket_of(int(max(0.0, late) * 1e6))] += 1

    def good(self, step: str, stage: int, second: int, latency: float) -> None:
        """Count a request that was answered as it should be."""
        bucket = Histogram.bucket_of(int(latency * 1e6))
        for tally in (self.steps[step], self.stages[stage], self.seconds[second]):
            tally.due += 1
            tally.good += 1
            tally.latencies.counts[bucket] += 1

    def bad(self, step: str, stage: int, second: int, kind: str) -> None:
        """Count a request that went wrong, by the kind of error."""
        for tally in (self.steps[step], self.stages[stage], self.seconds[second]):
            tally.due += 1
            tally.bad += 1
        named = f"{step}: {kind}"
        self.errors[named if named in self.errors or len(self.errors) < MOST_KINDS else "others"] += 1

    @property
    def total(self) -> Tally:
        """All requests together."""
        whole = Tally()
        for tally in self.stages.values():
            whole.add(tally)
        return whole

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            **{
                name: [[key, tally.to_json()] for key, tally in getattr(self, name).items()]
                for name in ("steps", "stages", "seconds")
            },
            "late": self.late.to_json(),
            "errors": dict(self.errors),
            "answered": self.answered,
            "unanswered": self.unanswered,
            "busy": self.busy,
            "most_connections": self.most_connections,
        }

    @classmethod
    def together(cls, parts: Iterable[dict[str, Any]]) -> "Record":
        """Return the sum of what several processes wrote by ``to_json``."""
        whole = cls()
        for part in parts:
            for name in ("steps", "stages", "seconds"):
                for key, values in part[name]:
                    getattr(whole, name)[key].add(Tally.from_json(values))
            whole.late.merge(Histogram.from_json(part["late"]))
            whole.errors.update(part["errors"])
            whole.answered += part["answered"]
            whole.unanswered += part["unanswered"]
            whole.busy += part["busy"]
            whole.most_connections += part["most_connections"]
        return whole
