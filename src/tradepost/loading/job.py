"""What a run is to do: where to, which journeys, how many a second and for how long."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MOST_RATE: Final = 1_000_000.0


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a run at one rate, in requests a second."""

    rate: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Job:
    """A run, or a process's share of it. ``people`` are headers, one of which a request of a person bears."""

    url: str
    mix: str
    stages: tuple[Stage, ...]
    think: float
    connections: int
    timeout: float
    people: tuple[str, ...]
    item_ids: tuple[int, ...]
    event_ids: tuple[int, ...]
    tags: tuple[str, ...]
    seed: int
    lifts_limits: bool = False
    """Whether the header of ``people`` is a load test's key, which strangers' requests bear too."""

    @property
    def seconds(self) -> float:
        """How long all stages take."""
        return sum(stage.seconds for stage in self.stages)

    def share(self, number: int, of: int) -> "Job":
        """Return the part of one of several processes, each of which has people of its own where there are enough."""
        people = self.people[number::of] or self.people
        stages = tuple(Stage(stage.rate / of, stage.seconds) for stage in self.stages)
        return Job(
            self.url,
            self.mix,
            stages,
            self.think,
            max(1, self.connections // of),
            self.timeout,
            people,
            self.item_ids,
            self.event_ids,
            self.tags,
            self.seed * 1000 + number,
            self.lifts_limits,
        )


def stages_of(rates: str, seconds: float) -> tuple[Stage, ...]:
    """Read ``200``, or ``100,200,400``, which share the time; raises ``ValueError``."""
    try:
        given = [float(part) for part in rates.split(",")]
    except ValueError:
        given = [0.0]
    if not all(0 < rate <= MOST_RATE for rate in given):
        raise ValueError(f"a rate is a number of requests a second, above 0, at the most {MOST_RATE:,.0f}")
    return tuple(Stage(rate, seconds / len(given)) for rate in given)


@dataclass(frozen=True, slots=True)
class Threshold:
    """What a run must not exceed: a quantile in milliseconds, or errors in percent of what was due."""

    name: str
    most: float

    @property
    def text(self) -> str:
        """It as it is written."""
        return f"{self.name}={self.most:g}{'%' if self.name == 'errors' else 'ms'}"


QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
_THRESHOLD: Final = re.compile(r"(p50|p90|p95|p99|p99\.9|max|errors)=([0-9]+(?:\.[0-9]+)?)(ms|s|%)")


def thresholds_of(texts: Sequence[str]) -> tuple[Threshold, ...]:
    """Read ``p99=200ms`` and ``errors=1%``; raises ``ValueError``."""
    read = []
    for text in texts:
        found = _THRESHOLD.fullmatch(text)
        if found is None or (found[1] == "errors") != (found[3] == "%"):
            raise ValueError(f"{text}: write it as p99=200ms or errors=1%")
        read.append(Threshold(found[1], float(found[2]) * (1000 if found[3] == "s" else 1)))
    return tuple(read)
