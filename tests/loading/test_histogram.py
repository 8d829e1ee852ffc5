"""The histogram says what HdrHistogram's own library says, and writes what its plotters read."""

import random

from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]

from tradepost.loading.histogram import Histogram

QUANTILES = (0.0, 0.5, 0.9, 0.99, 0.999, 1.0)


def test_it_says_what_the_library_says() -> None:
    dice = random.Random(7)
    values = [int(dice.lognormvariate(8, 2)) + 1 for _ in range(20_000)]
    ours, library = Histogram(), HdrHistogram(1, 10**9, 2)
    ours.add_seconds([(value + 0.5) / 1e6 for value in values])
    for value in values:
        library.record_value(value)
    assert ours.total == library.get_total_count() == len(values)
    exact = sorted(values)
    for fraction in QUANTILES[1:]:
        mine, theirs = ours.quantile(fraction) * 1000, library.get_value_at_percentile(fraction * 100)
        true = exact[min(len(exact), round(fraction * len(exact))) - 1]
        assert abs(mine - true) <= true / 100 + 1
        assert abs(mine - theirs) <= theirs / 50 + 1


def test_parts_add_up() -> None:
    dice = random.Random(1)
    values = [dice.random() for _ in range(1000)]
    whole, first, second = Histogram(), Histogram(), Histogram()
    whole.add_seconds(values)
    first.add_seconds(values[:300])
    second.add_seconds(values[300:])
    first.merge(Histogram.from_json(second.to_json()))
    assert first.to_json() == whole.to_json()


def test_the_distribution_is_written_for_plotters() -> None:
    histogram = Histogram()
    histogram.add_seconds([0.001] * 90 + [0.1] * 10)
    lines = histogram.as_hgrm().splitlines()
    assert lines[0].split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    rows = [[float(word) for word in line.split()] for line in lines[2:] if not line.startswith("#")]
    assert [row[1:3] for row in rows] == [[0.9, 90], [1, 100]]
    assert rows[0][3] == 10
    assert lines[-2].startswith("#[Max     =      100.")
    assert lines[-2].endswith("Total count    =          100]")
