"""A histogram of latencies with buckets of constant relative width, in the manner of HdrHistogram."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PRECISION_BITS = 7
"""Every bucket is narrower than 1/128 of the values in it: under 0.8 % of error at any magnitude."""


class Histogram:
    """Counts of whole microseconds; small enough to send between processes, and addable across rounds."""

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self.counts: Counter[int] = Counter(counts or {})

    @staticmethod
    def bucket_of(microseconds: int) -> int:
        """The bucket's number: values below 256 have one each, then 128 buckets for each power of two."""
        shift = max(0, microseconds.bit_length() - PRECISION_BITS - 1)
        return (shift << PRECISION_BITS) + (microseconds >> shift)

    @staticmethod
    def highest_in(bucket: int) -> int:
        """The largest number of microseconds that falls into `bucket`."""
        if bucket < 2 << PRECISION_BITS:
            return bucket
        shift = (bucket >> PRECISION_BITS) - 1
        return (((bucket - (shift << PRECISION_BITS)) + 1) << shift) - 1

    def add_seconds(self, latencies: Iterable[float]) -> None:
        """Count latencies given in seconds."""
        bucket_of = self.bucket_of
        self.counts.update(bucket_of(max(0, int(seconds * 1e6))) for seconds in latencies)

    def merge(self, other: Histogram) -> None:
        """Add the other histogram's counts to this one's."""
        self.counts.update(other.counts)

    @property
    def total(self) -> int:
        """How many latencies were counted."""
        return self.counts.total()

    def quantile(self, fraction: float) -> float:
        """The latency in milliseconds that `fraction` of all counted ones do not exceed; 0 when empty."""
        wanted = fraction * self.total
        seen = 0
        bucket = 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= wanted:
                break
        return self.highest_in(bucket) / 1000

    def to_json(self) -> list[tuple[int, int]]:
        """Pairs of bucket and count, in order."""
        return sorted(self.counts.items())

    @classmethod
    def from_json(cls, pairs: Iterable[tuple[int, int]]) -> Histogram:
        """What `to_json` wrote."""
        return cls(dict(pairs))
