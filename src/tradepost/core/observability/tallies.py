"""What is counted where it happens, as plain numbers of the process; ``Metrics`` shows them as counters when it is asked.

Adding costs a look into a dictionary. Labels are words of this code, never of a request: their number is bounded.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final


class Tally:
    """One kind of thing that is counted, shown as ``tradepost_<name>_total``, by the values of ``labels``."""

    def __init__(self, name: str, text: str, labels: Sequence[str] = ()) -> None:
        self.name = name
        self.text = text
        self.labels = tuple(labels)
        self.counts: dict[tuple[str, ...], float] = {} if labels else {(): 0}

    def add(self, *values: str, amount: float = 1) -> None:
        """Count one more, or ``amount``, with these values of the labels."""
        self.counts[values] = self.counts.get(values, 0) + amount


class Durations:
    """How long something took each time, in seconds: how often no longer than each of ``bounds``, or longer, and in all."""

    __slots__ = ("_bounds", "_counts", "_seconds")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._seconds = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def add(self, seconds: float) -> None:
        """Count once more."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._seconds += seconds

    def taken(self) -> tuple[list[int], float]:
        """Return how often it took how long, and the sum, since the last time that this was called."""
        counts, seconds = self._counts, self._seconds
        self._counts, self._seconds = [0] * len(counts), 0.0
        return counts, seconds


STATEMENT_TIMEOUTS: Final = Tally(
    "database_statement_timeouts", "Statements that PostgreSQL ended because they took too long"
)
CACHE_READS: Final = Tally(
    "cache_reads", "Questions to something that is kept, by whether it was there", ("cache", "outcome")
)
REPLICA_READS: Final = Tally(
    "replica_reads", "Reads that were asked of the standby, by what came of them", ("outcome",)
)
UPLOADED_BYTES: Final = Tally("uploaded_bytes", "Bytes of uploaded files, of refused ones too")
WEBHOOK_ANSWERS: Final = Tally(
    "webhook_answers", "Attempts to tell a webhook, by the class of the answer's status, or none", ("answer",)
)
STREAM_ENDS: Final = Tally(
    "notification_stream_ends", "Streams of notifications that ended, by who ended them", ("by",)
)
STREAM_RESYNCS: Final = Tally(
    "notification_stream_resyncs",
    "Streams that were told to look at the list again, by the reason",
    ("reason",),
)
JOB_RUNS: Final = Tally("job_runs", "Runs of recurring jobs in this process", ("job", "outcome"))
JOB_SECONDS: Final = Tally("job_seconds", "Time that recurring jobs took", ("job",))

TALLIES: Final = (
    STATEMENT_TIMEOUTS,
    CACHE_READS,
    REPLICA_READS,
    UPLOADED_BYTES,
    WEBHOOK_ANSWERS,
    STREAM_ENDS,
    STREAM_RESYNCS,
    JOB_RUNS,
    JOB_SECONDS,
)
"""All of them."""
