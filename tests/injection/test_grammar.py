"""What the notation of faults says, and that the same seed gives the same sequence."""

import pytest

from tests.clock import stopped_clock
from tradepost.injection.draws import REMEMBERED, Draws, drawn
from tradepost.injection.grammar import KINDS, LONGEST, MOST, Fault, NoNotationError, Trouble, parsed
from tradepost.web.strikes import Blow


def test_what_the_contract_shows() -> None:
    notation = parsed("delay=200ms;p=0.5, status=503;p=0.1, drop;p=0.01, slow-db=50ms;seed=7")
    assert notation.faults == (
        Fault(Blow.DELAY, 0.2, 0.5),
        Fault(Blow.STATUS, 503, 0.1),
        Fault(Blow.DROP, 0, 0.01),
        Fault(Blow.SLOW_DB, 0.05),
    )
    assert notation.seed == 7


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("delay=1.5s;spread=500ms", Fault(Blow.DELAY, 1.5, spread=0.5)),
        ("truncate", Fault(Blow.TRUNCATE, 0)),
        ("truncate=2kB", Fault(Blow.TRUNCATE, 2000)),
        ("slow-body=60s", Fault(Blow.SLOW_BODY, 60)),
        ("memory=64MB;for=250ms", Fault(Trouble.MEMORY, 64_000_000, lasts=0.25)),
        ("memory=64MB", Fault(Trouble.MEMORY, 64_000_000, lasts=5)),
        ("skew=-300s", Fault(Trouble.SKEW, -300, lasts=5)),
        ("pool = 2s ; p = 1.0", Fault(Trouble.POOL, 2)),
    ],
)
def test_every_way_to_write_an_amount(text: str, fault: Fault) -> None:
    assert parsed(text).faults == (fault,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "delay",
        "delay=200",
        "delay=-1s",
        "delay=61s",
        "delay=1s;p=2",
        "delay=1s;p=-0.1",
        "delay=1s;p",
        "delay=1s;spread=2s",
        "delay=1s;for=2s",
        "delay=1e3s",
        "delay=nans",
        "status=200",
        "status=600",
        "status=5000",
        "drop=1s",
        "truncate=-1B",
        "memory=513MB",
        "memory=1MB;for=301s",
        "stall=6s",
        "explode",
        "delay=1s,,drop",
        "drop;seed=1, drop;seed=2",
        "drop;seed=x",
        "drop;" * 200,
        ",".join(["drop"] * (MOST + 1)),
        "x" * (LONGEST + 1),
        "delay=1s\0",
    ],
)
def test_what_is_no_notation(text: str) -> None:
    with pytest.raises(NoNotationError):
        parsed(text)


def test_every_kind_is_bounded() -> None:
    for kind in KINDS.values():
        assert kind.otherwise is not None or kind.most > 0


def test_a_delay_varies_to_either_side() -> None:
    (fault,) = parsed("delay=200ms;spread=50ms").faults
    assert [round(fault.varied(draw), 3) for draw in (0.0, 0.5, 1.0)] == [0.15, 0.2, 0.25]


def test_the_same_seed_gives_the_same_sequence() -> None:
    notation = parsed("delay=1s;p=0.5, drop;p=0.1;seed=7")
    sequences = []
    for _ in range(2):
        draws = Draws(stopped_clock())
        sequences.append([draws.next(notation) for _ in range(100)])
        # Others between do not change it.
        draws.next(parsed("delay=1s;p=0.5;seed=8"))
    assert sequences[0] == sequences[1]
    assert [place for place, _ in sequences[0]] == list(range(1, 101))
    # As written down: it holds between processes, machines, and versions.
    assert [drawn(7, place, 0)[0] < 0.5 for place in range(1, 9)] == EIGHT
    struck = sum(drawn(7, place, 0)[0] < 0.1 for place in range(10_000))
    assert 900 < struck < 1_100


EIGHT = [True, True, False, True, False, False, False, False]


def test_a_sequence_begins_anew_when_it_is_told_to() -> None:
    draws, notation = Draws(stopped_clock()), parsed("drop;seed=1")
    assert [draws.next(notation, of=name)[0] for name in ("a", "a", "b")] == [1, 2, 1]
    draws.restart("a")
    assert [draws.next(notation, of=name)[0] for name in ("a", "b")] == [1, 2]
    draws.restart()
    assert draws.next(notation, of="b")[0] == 1


def test_sequences_are_bounded() -> None:
    draws = Draws(stopped_clock())
    for seed in range(REMEMBERED + 10):
        draws.next(parsed(f"drop;seed={seed}"))
    assert len(draws._places) == REMEMBERED
