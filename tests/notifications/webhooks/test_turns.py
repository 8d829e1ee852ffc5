"""Places at a receiver are few, and who waits is told when to come back."""

from contextlib import ExitStack
from itertools import pairwise

import pytest
from typing_extensions import override

from tradepost.core.clock import SystemClock
from tradepost.core.messages import Postponed
from tradepost.notifications.webhooks.turns import LONGEST_WAIT, Turns


class Watch(SystemClock):
    """A clock that a test sets."""

    seconds = 1000.0

    @override
    def monotonic(self) -> float:
        return self.seconds


def waits(turns: Turns, places: dict[str, int], count: int) -> list[float]:
    found = []
    for _ in range(count):
        with pytest.raises(Postponed) as caught, turns.turn(places):
            pass
        found.append(caught.value.after.total_seconds())
    return found


def test_as_many_as_there_are_places() -> None:
    turns = Turns(Watch())
    with ExitStack() as inside:
        for _ in range(3):
            inside.enter_context(turns.turn({"a": 3}))
        assert len(waits(turns, {"a": 3}, 2)) == 2
        with turns.turn({"b": 3}):
            pass
    with turns.turn({"a": 3}):
        pass


def test_any_full_door_is_a_full_door() -> None:
    turns = Turns(Watch())
    with turns.turn({"receiver": 2, "person": 1}):
        waits(turns, {"other": 2, "person": 1}, 1)
        with turns.turn({"receiver": 2, "another": 1}):
            waits(turns, {"receiver": 2, "a third": 1}, 1)


def test_who_waits_comes_one_after_the_other_as_places_come_free() -> None:
    watch = Watch()
    turns = Turns(watch)
    with turns.turn({"a": 2}):
        for _ in range(30):
            with turns.turn({"a": 2}):
                watch.seconds += 10
        with turns.turn({"a": 2}):
            found = waits(turns, {"a": 2}, 200)
    gaps = [after - before for before, after in pairwise(found)]
    assert gaps[0] == pytest.approx(5, rel=0.01), "ten seconds each, two at once"
    assert found[-1] == LONGEST_WAIT


def test_a_place_comes_free_whatever_happens() -> None:
    turns = Turns(Watch())
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), turns.turn({"a": 1}):
            raise ZeroDivisionError
    assert not turns._doors
