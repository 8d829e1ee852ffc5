"""What a report says of a run: its knee, its recovery, its thresholds, and how far it is to be believed."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from tradepost.loading.job import Job, Stage, Threshold, stages_of, thresholds_of
from tradepost.loading.record import MOST_KINDS, Record
from tradepost.loading.report import Outcome, markdown, pictures
from tradepost.loading.target import Target

TARGET = Target("Tradepost", "1.0", "local", (1,), (), (), 0)


def outcome(*stages: tuple[float, float, int], seconds: float = 10.0) -> Outcome:
    """Return a run; of each stage its rate, the latency of all its answers in seconds, and how many in ten went wrong."""
    record = Record()
    for number, (_, latency, wrong) in enumerate(stages):
        for at in range(100):
            second = int(number * seconds + at * seconds / 100)
            if at % 10 < wrong:
                record.bad("item", number, second, "503 OVERLOADED")
            else:
                record.good("item", number, second, latency)
            record.began(0.0001)
            record.answered += 1
    parts = tuple(Stage(rate, seconds) for rate, _, _ in stages)
    job = Job("http://x", "read", parts, 0, 10, 1, (), (1,), (), (), 1)
    return Outcome(job, 1, TARGET, record, record.answered, seconds * len(stages))


def test_a_host_that_keeps_up_has_no_knee() -> None:
    run = outcome((100, 0.001, 0), (200, 0.004, 0))
    assert run.knee() is None
    assert "**No knee**: the host kept up with every rate, up to 200/s." in markdown(run, (), pictured=True)


@pytest.mark.parametrize("overload", [(400, 0.5, 0), (400, 0.001, 3)])
def test_a_knee_an_overload_and_a_recovery(overload: tuple[float, float, int]) -> None:
    run = outcome((100, 0.001, 0), (200, 0.002, 0), overload, (100, 0.001, 0))
    assert run.knee() == 2
    text = markdown(run, (), pictured=True)
    assert (
        "**The knee**: at 400 requests a second the host did not keep up any more, after it kept up with 200/s."
        in text
    )
    assert "**The recovery**: back at 100/s, it kept up again after 0 s." in text


def test_a_host_that_stays_slow_has_not_recovered() -> None:
    run = outcome((100, 0.001, 0), (400, 5.0, 0), (100, 4.0, 0))
    assert "back at 100/s, it had not recovered by the end." in markdown(run, (), pictured=False)


def test_a_host_that_stays_down_has_not_recovered() -> None:
    run = outcome((100, 0.001, 0), (400, 0.5, 9), (100, 0.5, 9))
    assert "it had not recovered by the end." in markdown(run, (), pictured=False)


def test_how_long_a_recovery_took_is_said() -> None:
    run = outcome((100, 0.001, 0), (400, 5.0, 0), (100, 0.001, 0))
    for at in range(20, 23):
        run.record.good("item", 2, at, 4.0)
    assert "back at 100/s, it kept up again after 3 s." in markdown(run, (), pictured=False)


def test_thresholds() -> None:
    run = outcome((100, 0.1, 1))
    assert run.broken(thresholds_of(["p99=200ms", "errors=10%", "max=1s"])) == []
    assert run.broken(thresholds_of(["p50=50ms"])) == ["p50=50ms: it was 100ms"]
    assert run.broken([Threshold("errors", 5)]) == ["errors=5%: it was 10%"]
    assert "**Failed**: errors=5%: it was 10%." in markdown(run, [Threshold("errors", 5)], pictured=False)
    assert "**Passed**: p99=200ms." in markdown(run, thresholds_of(["p99=200ms"]), pictured=False)
    # Nothing that was asked passes nothing.
    assert Outcome(run.job, 1, TARGET, Record(), 0, 1).broken([Threshold("errors", 5)])


@pytest.mark.parametrize("text", ["p99", "p99=200", "p42=1ms", "errors=5ms", "p50=5%", "p99=-1ms"])
def test_what_is_no_threshold(text: str) -> None:
    with pytest.raises(ValueError, match="write it as"):
        thresholds_of([text])


@pytest.mark.parametrize("text", ["0", "-1", "x", "1,,2", "nan", "1e9", ""])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="a rate is a number"):
        stages_of(text, 10)


def test_counts_that_agree_and_that_do_not() -> None:
    run = outcome((100, 0.001, 0))
    assert run.agrees
    assert "Counts **agree**: 100 answers here, 100 by the host's" in markdown(run, (), pictured=False)
    other = replace(run, counted=90)
    assert "Counts **do not agree**" in markdown(other, (), pictured=False)
    run.record.unanswered = 5
    assert replace(run, counted=105).agrees
    assert not replace(run, counted=106).agrees
    assert replace(run, counted=None).agrees is None


def test_what_makes_the_figures_doubtful_is_said() -> None:
    run = outcome((100, 0.001, 0))
    assert run.doubts() == []
    run.record.busy = run.seconds * 0.95
    for _ in range(20):
        run.record.began(0.5)
    said = "\n".join(run.doubts())
    assert "took 95% of a core" in said
    assert "ms late or more" in said


def test_pictures_are_well_formed_and_complete() -> None:
    drawn = pictures(outcome((100, 0.001, 0), (400, 0.5, 3)))
    assert set(drawn) == {"rate.svg", "latency.svg"}
    for name, text in drawn.items():
        root = ET.fromstring(text)  # noqa: S314 - our own
        lines = root.findall("{*}polyline")
        assert len(lines) == 3, name
        numbers = [
            float(number) for line in lines for number in re.findall(r"[-0-9.]+", line.attrib["points"])
        ]
        assert all(0 <= number <= 860 for number in numbers)
        assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_a_picture_of_nothing_is_drawn_too() -> None:
    nothing = Outcome(outcome((1, 1, 0)).job, 1, TARGET, Record(), 0, 1)
    assert ET.fromstring(pictures(nothing)["rate.svg"]).tag.endswith("svg")  # noqa: S314 - our own


def test_processes_share_a_run_and_add_up() -> None:
    job = Job("http://x", "read", (Stage(100, 5),), 0, 10, 1, ("a", "b", "c"), (1,), (), (), 3)
    shares = [job.share(number, 2) for number in range(2)]
    assert [share.stages for share in shares] == [(Stage(50, 5),)] * 2
    assert [share.people for share in shares] == [("a", "c"), ("b",)]
    assert shares[0].seed != shares[1].seed
    parts = [outcome((100, 0.001, 1)).record.to_json() for _ in range(2)]
    whole = Record.together(parts)
    assert (whole.total.due, whole.total.good, whole.total.bad) == (200, 180, 20)
    assert whole.errors == {"item: 503 OVERLOADED": 20}


def test_kinds_of_errors_are_bounded() -> None:
    record = Record()
    for number in range(MOST_KINDS + 10):
        record.bad("item", 0, 0, str(number))
    assert len(record.errors) == MOST_KINDS + 1
    assert record.errors["others"] == 10
