"""Whether a queue grows: in so many windows of four steps, of the last five."""

from functools import partial
from itertools import repeat
from typing import Final

from tradepost.core.overload import growth as rules

STEPS: Final = 4
WINDOWS: Final = 3
REMEMBERED: Final = rules.REMEMBERED // STEPS
Growth: Final = partial(rules.Growth, steps=STEPS, of=5)


def windows(growth: rules.Growth, *lengths: int, came: int = 0) -> list[bool]:
    """Step through windows in which so many wait; return after each whether the queue grew in three."""
    seen = []
    for length in lengths:
        for step in range(STEPS):
            growth.step(came if step == 0 else 0, length)
        seen.append(growth.windows >= WINDOWS)
    return seen


def test_a_queue_that_is_longer_each_time_is_growing_after_three() -> None:
    assert REMEMBERED == 30
    assert windows(Growth(), 2, 4, 6, 8) == [False, False, True, True]


def test_by_one_more_it_does_not_grow() -> None:
    assert windows(Growth(), 2, 3, 4, 5, 6) == [False] * 5


def test_it_has_to_grow_by_more_than_a_tenth_of_what_comes() -> None:
    assert windows(Growth(), 10, 20, 30, 40, came=100) == [False] * 4
    assert windows(Growth(), 11, 22, 33, 44, came=100) == [False, False, True, True]


def test_what_came_in_any_step_of_a_window_counts_and_in_no_other_window() -> None:
    growth = Growth()
    for _ in range(3):
        for _ in range(STEPS):
            growth.step(50, 0)
        # It is another window, in which nobody comes.
        windows(growth, 0)
    seen = []
    for length in (5, 10, 15):
        for _ in range(STEPS):
            growth.step(13, length)
        seen.append(growth.windows >= WINDOWS)
    # Five of 52: not more than a tenth.
    assert seen == [False] * 3
    assert windows(growth, 18, 21, 24) == [False, False, True]


def test_the_longest_moment_of_a_window_is_held_against_the_longest_ever() -> None:
    growth = Growth()
    for length in (20, 0, 0, 0):
        growth.step(0, length)
    # The twenty of the first window are the longest, though it ended with none.
    assert windows(growth, 10, 15, 20) == [False] * 3
    growth, seen = Growth(), list[int]()
    # Many are served at once, and in each window at another time.
    for number in range(4):
        for step in range(STEPS):
            growth.step(0, 10 * number + 100 * (step == number))
        seen.append(growth.windows)
    assert seen == [1, 2, 3, 4]


def test_windows_that_did_not_grow_may_lie_between() -> None:
    assert windows(Growth(), 2, 2, 4, 4, 6) == [False, False, False, False, True]
    # The first is not among the last five any more.
    assert windows(Growth(), 2, 2, 4, 4, 4, 6) == [False] * 6


def test_the_longest_is_forgotten_after_a_while() -> None:
    growth = Growth()
    windows(growth, 50)
    windows(growth, *repeat(0, REMEMBERED))
    assert windows(growth, 2, 4, 6) == [False, False, True]
    growth = Growth()
    windows(growth, 50)
    windows(growth, *repeat(0, REMEMBERED - 1))
    # One of the three was still held against it.
    assert windows(growth, 2, 4, 6, 8) == [False, False, False, True]


def test_it_begins_with_nothing() -> None:
    # Neither one who waits at first nor two of twenty are growth.
    assert windows(Growth(), 1, 3, 5) == [False] * 3
    assert windows(Growth(), 2, 5, 8, came=20) == [False] * 3


def test_so_it_does_after_it_was_forgotten() -> None:
    for lengths, came in (((0, 2, 4, 6), 0), ((2, 5, 8, 11), 20), ((3, 6, 9), 29)):
        seen = []
        for is_new in (True, False):
            growth = Growth()
            if not is_new:
                windows(growth, 2, 4, 6, 90)
                for _ in range(STEPS - 1):
                    growth.step(100, 80)
                growth.forget()
                assert growth.windows == 0
            seen.append(windows(growth, *lengths, came=came))
        assert seen[0] == seen[1]
        assert seen[0][-1]


def test_a_window_is_whole() -> None:
    growth = Growth()
    for _ in range(2):
        growth.forget()
        seen = []
        for length in (2, 4, 6):
            for _ in range(STEPS):
                growth.step(0, length)
                seen.append(growth.windows >= WINDOWS)
        assert seen == [False] * 11 + [True]


def test_a_window_may_be_a_step() -> None:
    growth, seen = rules.Growth(steps=1, of=3), list[int]()
    for length in (2, 4, 4, 6, 5, 5):
        growth.step(0, length)
        seen.append(growth.windows)
    assert seen == [1, 2, 2, 2, 1, 1]
    for _ in range(rules.REMEMBERED - 2):
        growth.step(0, 0)
    # The six is the longest for one step more.
    growth.step(0, 6)
    assert growth.windows == 0
