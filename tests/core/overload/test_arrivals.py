"""The border between those who are served and the others, to the number."""

import pytest

from tradepost.core.overload.arrivals import PLACES, RANKS, Arrivals, Importance, importance_of, rank_of


def test_a_rank_is_a_class_and_a_place_within_it() -> None:
    assert [rank_of(importance, 3) for importance in Importance] == [3, 35, 67, 99, 131]
    assert rank_of(Importance.WRITE, PLACES + 5) == rank_of(Importance.WRITE, 5) == PLACES + 5
    assert [importance_of(rank) for rank in (0, 31, 32, 159)] == [
        Importance.KEYED,
        Importance.KEYED,
        Importance.WRITE,
        Importance.HEAVY,
    ]
    assert rank_of(Importance.HEAVY, PLACES - 1) == RANKS - 1


def came(arrivals: Arrivals, **by_rank: int) -> list[int]:
    """Have so many of each rank come; return how many of each are served."""
    return [
        sum(arrivals.is_served(int(rank.strip("r"))) for _ in range(number))
        for rank, number in by_rank.items()
    ]


def test_all_are_served_until_a_border_is_put() -> None:
    arrivals = Arrivals()
    assert arrivals.level == len(Importance)
    assert came(arrivals, r0=3, r159=3) == [3, 3]


def test_the_border_lies_where_as_many_are_as_are_wanted() -> None:
    arrivals = Arrivals()
    came(arrivals, r0=10, r40=20, r100=30)
    # 1.5 s of 20 a second: the first rank, and all of the second.
    arrivals.step(1.5, 20.0)
    assert (arrivals.border, arrivals.share) == (100, 0.0)
    assert came(arrivals, r0=5, r40=5, r99=5, r100=5, r101=5) == [5, 5, 5, 0, 0]


def test_of_the_rank_at_the_border_a_share_is_served_evenly() -> None:
    arrivals = Arrivals()
    came(arrivals, r8=10, r40=40, r100=30)
    arrivals.step(1.0, 20.0)
    assert (arrivals.border, arrivals.share) == (40, 0.25)
    assert arrivals.level == (40 + 0.25) / 32
    assert [arrivals.is_served(40) for _ in range(12)] == [False, False, False, True] * 3


def test_what_came_before_counts_less_and_less() -> None:
    arrivals = Arrivals()
    came(arrivals, r10=100)
    arrivals.step(1.0, 1000.0)
    assert (arrivals.border, arrivals.share) == (RANKS, 0.0)
    came(arrivals, r20=40)
    # 0.85 of the hundred and of the second are left, and of forty all: 90 of 85 + 40, in 1.85 s.
    arrivals.step(1.0, 90 / 1.85)
    assert arrivals.border == 20
    assert arrivals.share == pytest.approx(5 / 40)
    arrivals.step(1.0, 0.0)
    assert (arrivals.border, arrivals.share) == (10, 0.0)


def test_who_is_refused_counts_too() -> None:
    arrivals = Arrivals()
    came(arrivals, r10=10)
    arrivals.step(1.0, 0.0)
    assert came(arrivals, r10=10) == [0]
    arrivals.step(1.0, 18.5 / 1.85)
    # 8.5 of those before, and ten.
    assert arrivals.border == RANKS


def test_nobody_is_served_where_less_than_nothing_is_wanted() -> None:
    arrivals = Arrivals()
    came(arrivals, r0=1)
    arrivals.step(1.0, -5.0)
    assert (arrivals.border, arrivals.share, arrivals.level) == (0, 0.0, 0.0)
    assert came(arrivals, r0=3) == [0]


def test_what_is_forgotten_counts_no_more() -> None:
    arrivals = Arrivals()
    came(arrivals, r10=100)
    arrivals.step(1.0, 50.0)
    assert arrivals.border == 10
    arrivals.forget()
    assert (arrivals.border, arrivals.share, arrivals.level) == (RANKS, 0.0, 5.0)
    assert came(arrivals, r20=10) == [10]
    # Neither those who came nor the second in which they did.
    arrivals.step(1.0, 5.0)
    assert (arrivals.border, arrivals.share) == (20, 0.5)
