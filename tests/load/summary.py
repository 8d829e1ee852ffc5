"""Medians, spreads and ratios of the rounds."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from tests.load.contestants import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.load.rounds import Load, Measurement


@dataclass(frozen=True)
class Spread:
    """The median of the rounds, with the lowest and the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """The spread of at least one value."""
        ordered = sorted(values)
        return cls(median(ordered), ordered[0], ordered[-1])


@dataclass(frozen=True)
class Line:
    """One contestant under one load. Ratios are taken within each round, where both met the same machine."""

    contestant: str
    rate: Spread
    p50: Spread
    p99: Spread
    p999: Spread
    server_cpu: Spread
    database_cpu: Spread
    rate_to_limit: Spread | None
    server_cpu_to_limit: Spread | None
    total_cpu_to_limit: Spread | None
    offered: float | None
    fewest: int
    most: int
    """Answers of the worst and the best served client of all rounds."""
    shed: int
    never_sent: int


@dataclass(frozen=True)
class Section:
    """All contestants under one load of one workload."""

    workload: str
    load: Load
    lines: list[Line]


def summarise(measurements: Sequence[Measurement]) -> list[Section]:
    """One section for each workload and load, in the order in which they were measured."""
    keys = dict.fromkeys((each.workload, each.load) for each in measurements)
    sections = []
    for workload, load in keys:
        among = [each for each in measurements if (each.workload, each.load) == (workload, load)]
        names = sorted({each.contestant for each in among}, key=_tradepost_first)
        sections.append(Section(workload, load, [_line(name, among) for name in names]))
    return sections


def _tradepost_first(name: str) -> tuple[int, str]:
    order = ("tradepost", LIMIT)
    return (order.index(name) if name in order else len(order), name)


def _line(name: str, among: Sequence[Measurement]) -> Line:
    own = [each for each in among if each.contestant == name]
    limits = {each.round: each for each in among if each.contestant == LIMIT}

    def ratio(value: Callable[[Measurement], float]) -> Spread | None:
        pairs = [(value(each), value(limits[each.round])) for each in own if each.round in limits]
        return (
            Spread.of(mine / theirs for mine, theirs in pairs if theirs)
            if all(b for _, b in pairs) and pairs
            else None
        )

    return Line(
        contestant=name,
        rate=Spread.of(each.rate for each in own),
        p50=Spread.of(each.p50 for each in own),
        p99=Spread.of(each.p99 for each in own),
        p999=Spread.of(each.p999 for each in own),
        server_cpu=Spread.of(each.server_cpu for each in own),
        database_cpu=Spread.of(each.database_cpu for each in own),
        rate_to_limit=ratio(lambda each: each.rate),
        server_cpu_to_limit=ratio(lambda each: each.server_cpu),
        total_cpu_to_limit=ratio(lambda each: each.server_cpu + each.database_cpu),
        offered=median(each.offered or 0 for each in own) if own[0].load.is_open else None,
        fewest=min(each.fewest for each in own),
        most=max(each.most for each in own),
        shed=sum(each.shed for each in own),
        never_sent=sum(each.never_sent for each in own),
    )
