"""A histogram of latencies with buckets of constant relative width: an HdrHistogram (Tene), of microseconds.

The library of that name would bring setuptools and a compiler's work into every image; it is what the tests compare with.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

PRECISION_BITS: Final = 7
"""Every bucket is narrower than 1/128 of the values in it: under 0.8 % of error at any magnitude."""


class Histogram:
    """Counts of whole microseconds; small enough to send between processes, and addable across rounds."""

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self.counts: Counter[int] = Counter(counts or {})

    @staticmethod
    def bucket_of(microseconds: int) -> int:
        """Return the bucket's number: values below 256 have one each, then 128 buckets for each power of two."""
        shift = max(0, microseconds.bit_length() - PRECISION_BITS - 1)
        return (shift << PRECISION_BITS) + (microseconds >> shift)

    @staticmethod
    def highest_in(bucket: int) -> int:
        """Return the largest number of microseconds that falls into ``bucket``."""
        if bucket < 2 << PRECISION_BITS:
            return bucket
        shift = (bucket >> PRECISION_BITS) - 1
        return (((bucket - (shift << PRECISION_BITS)) + 1) << shift) - 1

    def add_seconds(self, latencies: Iterable[float]) -> None:
        """Count latencies given in seconds."""
        bucket_of = self.bucket_of
        self.counts.update(bucket_of(max(0, int(seconds * 1e6))) for seconds in latencies)

    def merge(self, other: "Histogram") -> None:
        """Add the other histogram's counts to this one's."""
        self.counts.update(other.counts)

    @property
    def total(self) -> int:
        """How many latencies were counted."""
        return self.counts.total()

    def quantile(self, fraction: float) -> float:
        """Return the latency in milliseconds that ``fraction`` of all counted ones do not exceed; 0 when empty."""
        wanted = fraction * self.total
        seen = 0
        bucket = 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= wanted:
                break
        return self.highest_in(bucket) / 1000

    def to_json(self) -> list[tuple[int, int]]:
        """Return pairs of bucket and count, in order."""
        return sorted(self.counts.items())

    @classmethod
    def from_json(cls, pairs: Iterable[tuple[int, int]]) -> "Histogram":
        """Return what ``to_json`` wrote."""
        return cls(dict(pairs))

    def percentiles(self) -> Iterator[tuple[float, float, int]]:
        """Yield milliseconds, the fraction of latencies that do not exceed them, and their number: a row for each bucket."""
        seen = 0
        for bucket, count in self.to_json():
            seen += count
            yield self.highest_in(bucket) / 1000, seen / self.total, seen

    def as_hgrm(self) -> str:
        """Return the distribution as HdrHistogram's plotters read it, in milliseconds."""
        lines = ["       Value     Percentile TotalCount 1/(1-Percentile)", ""]
        for value, fraction, seen in self.percentiles():
            inverse = f"{1 / (1 - fraction):.2f}" if fraction < 1 else ""
            lines.append(f"{value:12.3f} {fraction:14.12f} {seen:10d} {inverse:>14}".rstrip())
        mean = (
            sum(self.highest_in(bucket) * count for bucket, count in self.to_json())
            / max(1, self.total)
            / 1000
        )
        lines += [f"#[Mean    = {mean:12.3f}, StdDeviation   = {self._deviation(mean):12.3f}]"]
        lines += [f"#[Max     = {self.quantile(1):12.3f}, Total count    = {self.total:12d}]"]
        return "\n".join([*lines, f"#[Buckets = {32:12d}, SubBuckets     = {2 << PRECISION_BITS:12d}]", ""])

    def _deviation(self, mean: float) -> float:
        squares = ((self.highest_in(bucket) / 1000 - mean) ** 2 * count for bucket, count in self.to_json())
        return float((sum(squares) / max(1, self.total)) ** 0.5)
