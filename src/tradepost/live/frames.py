"""One look at the metrics made a frame of what happened since the look before: plain numbers, for drawing."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from prometheus_client.samples import Sample

_REQUESTS: Final = "tradepost_http_requests_total"
_DURATIONS: Final = "tradepost_http_request_duration_seconds_bucket"
_BATCHES: Final = "tradepost_coalesced_batch_size_sum"
_BATCHED: Final = "tradepost_coalesced_batch_size_count"
_COUNTED: Final = {
    "tradepost_overload_refused_total": "overload",
    "tradepost_rate_limited_total": "limits",
}
_PROCESSOR: Final = frozenset({"process_cpu_seconds_total", "tradepost_worker_cpu_seconds"})
_WAITS: Final = {
    "tradepost_overload_turn_wait_seconds": "turn",
    "tradepost_overload_lane_wait_seconds": "lane",
    "tradepost_overload_connection_wait_seconds": "connection",
}
_CONNECTIONS: Final = {
    f"tradepost_database_{pool}_{what}": (pool, what)
    for pool in ("read", "write", "pool")
    for what in ("size", "held", "waiting")
}
_NUMBERS: Final = {
    "tradepost_http_requests_in_progress": "in_flight",
    "tradepost_event_loop_lag_seconds": "lag",
    "tradepost_notification_streams": "streams",
    "tradepost_overload_level": "level",
}
_OUTBOX: Final = {
    "tradepost_messages_waiting": "waiting",
    "tradepost_messages_dead": "dead",
    "tradepost_messages_lag_seconds": "age",
}
NAMES: Final = frozenset(
    {
        _REQUESTS,
        *_COUNTED,
        *_PROCESSOR,
        *_NUMBERS,
        *_WAITS,
        *_CONNECTIONS,
        *_OUTBOX,
        _DURATIONS,
        _BATCHES,
        _BATCHED,
    }
)
"""The samples that a look takes; the others are passed by."""
_READING: Final = frozenset({"GET", "HEAD", "QUERY", "OPTIONS"})
_ENDLESS: Final = ("/stream",)
"""How the routes end whose answers have no end: they would count as slow."""


K = TypeVar("K")


class Totals(defaultdict[K, float]):
    """Sums by what is summed up."""

    def __init__(self) -> None:
        super().__init__(float)

    def since(self, before: "Totals[K]") -> dict[K, float]:
        """Return what grew since ``before``, and by how much."""
        return {key: grown for key, value in self.items() if (grown := value - before.get(key, 0.0)) > 0}


@dataclass
class Look:
    """The metrics at one moment, added up to what a frame needs; the counters only grow."""

    at: float
    requests: Totals[str] = field(default_factory=Totals)
    """By class of the route."""
    refused: Totals[str] = field(default_factory=Totals)
    durations: Totals[float] = field(default_factory=Totals)
    """Answers that took at most so many seconds."""
    batches: Totals[str] = field(default_factory=Totals)
    batched: Totals[str] = field(default_factory=Totals)
    processor: float = 0.0
    now: dict[str, Any] = field(default_factory=dict)
    """What is so at this moment."""


def route_class(method: str, route: str, prefix: str) -> str:
    """Return what requests are counted as: the part of the API, and whether they only read."""
    if not route.startswith(f"{prefix}/"):
        return "not found" if route == "unmatched" else "pages"
    part = route.removeprefix(f"{prefix}/").partition("/")[0]
    return f"{part}, {'reads' if method in _READING else 'writes'}"


def look(samples: Iterable[Sample], *, at: float, prefix: str) -> Look:
    """Add up the metrics; ``at`` is in seconds since 1970, ``prefix`` what the API's paths begin with."""
    found = Look(at, now={"connections": {}, "waits": {}, "outbox": dict.fromkeys(_OUTBOX.values(), 0.0)})
    for sample in samples:
        _count(found, sample, prefix)
        _note(found.now, sample.name, sample.value)
    return found


def _count(found: Look, sample: Sample, prefix: str) -> None:
    """Add a counter."""
    name, labels, value = sample.name, sample.labels, sample.value
    if name == _REQUESTS:
        found.requests[route_class(labels["method"], labels["route"], prefix)] += value
        if labels["status"].startswith("5"):
            found.refused["unavailable" if labels["status"] == "503" else "errors"] += value
    elif name == _DURATIONS:
        if not labels["route"].endswith(_ENDLESS):
            found.durations[float(labels["le"])] += value
    elif name == _BATCHES:
        found.batches[labels["read"]] += value
    elif name == _BATCHED:
        found.batched[labels["read"]] += value
    elif name in _COUNTED:
        found.refused[_COUNTED[name]] += value
    elif name in _PROCESSOR:
        found.processor += value


def _note(now: dict[str, Any], name: str, value: float) -> None:
    """Note how something stands."""
    if name in _NUMBERS:
        now[_NUMBERS[name]] = value
    elif name in _WAITS:
        now["waits"][_WAITS[name]] = value
    elif name in _CONNECTIONS:
        pool, what = _CONNECTIONS[name]
        now["connections"].setdefault(pool, {})[what] = value
    elif name in _OUTBOX:
        # Of the channels: their messages together, and the oldest of all.
        outbox, what = now["outbox"], _OUTBOX[name]
        outbox[what] = max(outbox[what], value) if what == "age" else outbox[what] + value


def frame(before: Look, after: Look) -> dict[str, Any]:
    """Return what happened between two looks: rates a second, times in milliseconds, and how things stand.

    A worker that died takes what it counted along on some systems: what would be less than nothing is nothing.
    """
    seconds = max(after.at - before.at, 1e-3)
    answers = [(bound, n - before.durations.get(bound, 0.0)) for bound, n in sorted(after.durations.items())]
    sizes, batched = after.batches.since(before.batches), after.batched.since(before.batched)
    return {
        "at": round(after.at, 3),
        "seconds": round(seconds, 3),
        "requests": _rates(before.requests, after.requests, seconds),
        "refused": _rates(before.refused, after.refused, seconds),
        "p50": _quantile(answers, 0.5),
        "p99": _quantile(answers, 0.99),
        "cores": round(max(0.0, after.processor - before.processor) / seconds, 3),
        "batches": {name: round(sizes.get(name, 0.0) / n, 1) for name, n in sorted(batched.items())},
        **after.now,
    }


def _rates(before: Totals[str], after: Totals[str], seconds: float) -> dict[str, float]:
    return {name: round(number / seconds, 1) for name, number in sorted(after.since(before).items())}


def _quantile(answers: list[tuple[float, float]], share: float) -> float | None:
    """Return a quantile in milliseconds, even within its bucket as Prometheus has it; None without any answer."""
    total = answers[-1][1] if answers else 0
    if total <= 0:
        return None
    low, below = 0.0, 0.0
    for bound, number in answers:
        if number >= share * total:
            if bound == float("inf"):
                return round(low * 1000, 3)
            inside = (share * total - below) / (number - below)
            return round((low + (bound - low) * inside) * 1000, 3)
        low, below = bound, number
    return round(low * 1000, 3)
