"""The rules of overload control, to the step and to the number; what comes of them is looked at in simulated time."""

from collections.abc import Callable
from typing import Final

import pytest

from tradepost.core.overload.arrivals import PLACES, Importance, rank_of
from tradepost.core.overload.control import HARD_CEILING, STEP, TARGET, TOO_LONG, OverloadControl

FLOOR: Final = 4
LITTLE: Final = 1e-6
FIRST_PAUSE: Final = 0.25


def steps(control: OverloadControl, number: int, wait: float, *, come: int = 0, end: int = 0) -> None:
    """Take steps, before each of which so many come and so many end."""
    for _ in range(number):
        for _ in range(come):
            control.began()
        for _ in range(end):
            control.ended()
        control.step(STEP, wait)


def steps_until(control: OverloadControl, found: Callable[[], bool], wait: float, *, come: int = 0) -> int:
    """Take steps until something is so; return how many."""
    number = 0
    while not found():
        steps(control, 1, wait, come=come)
        number += 1
        assert number < 10_000
    return number


def overloaded(under_way: int = 20, *, served: int = 0, pause: float = 8.0) -> OverloadControl:
    """Return a control that has just seen an overload, with so many under way and a rate of ``served`` each step.

    The first trial is in ``pause`` seconds.
    """
    control = OverloadControl(floor=FLOOR)
    steps(control, 200, 0.0, come=served, end=served)
    for _ in range(under_way):
        control.began()
    seen = []
    for _ in range(4):
        steps(control, 1, TOO_LONG + LITTLE, come=served, end=served)
        seen.append(control.is_overloaded)
    # With the fourth the queue is longer at the end of a window than ever.
    assert seen == [False, False, False, True]
    assert control._pause == FIRST_PAUSE
    control._pause = pause
    return control


def test_a_quiet_control_lets_all_be() -> None:
    control = OverloadControl(floor=FLOOR)
    assert (control.under_way, control.stalled, control.busy) == (0, 0, 0)
    assert (control.is_overloaded, control.is_needed, control.is_impatient) == (False, False, False)
    assert (control.ceiling, control.wait, control.level, control.load) == (HARD_CEILING, 0.0, 5.0, 1.0)


def test_it_is_needed_once_more_is_under_way_than_always_may_be() -> None:
    control = OverloadControl(floor=FLOOR)
    seen = []
    for _ in range(FLOOR + 1):
        control.began()
        seen.append(control.is_needed)
    assert seen == [False] * FLOOR + [True]
    control.ended()
    assert not control.is_needed
    control.is_overloaded = True
    assert control.is_needed


def test_who_ends_unserved_is_under_way_no_more_and_counts_as_no_answer() -> None:
    control = OverloadControl(floor=FLOOR)
    for _ in range(10):
        control.began()
    for _ in range(3):
        control.ended_unserved()
    assert control.under_way == 7
    control.step(STEP, 0.0)
    assert control._served == 0
    control.ended()
    assert control.under_way == 6
    control.step(STEP, 0.0)
    # One in two steps, and then in three: the mean since looking began.
    assert control._served == pytest.approx(25)
    control.step(STEP, 0.0)
    assert control._served == pytest.approx(50 / 3)


def test_the_rate_is_a_mean_over_a_fifth_of_a_second() -> None:
    control = OverloadControl(floor=FLOOR)
    control.under_way = FLOOR + 1
    steps(control, 10, 0.0, come=1, end=1)
    assert control._served == pytest.approx(50)
    control.step(STEP, 0.0)
    assert control._served == pytest.approx(45)
    # A step that took long counts for as much.
    control.step(0.1, 0.0)
    assert control._served == pytest.approx(22.5)
    control.step(0.3, 0.0)
    assert control._served == 0


def test_the_rate_begins_anew_while_there_is_little_to_do() -> None:
    control = OverloadControl(floor=FLOOR)
    seen = []
    for under_way, number in ((FLOOR, 1), (FLOOR + 1, 3), (FLOOR + 1, 1), (FLOOR, 1), (FLOOR, 3)):
        control.under_way = under_way
        steps(control, 1, 0.0, come=number, end=number)
        seen.append(control._served)
    assert seen == [pytest.approx(rate) for rate in (50, 150, 100, 250 / 3, 150)]


@pytest.mark.parametrize(("come", "begins"), [(3, None), (4, 16), (6, 8), (22, 8)])
def test_a_queue_that_grows_is_too_much_once_who_comes_now_would_wait_for_long(
    come: int, begins: int | None
) -> None:
    control = OverloadControl(floor=FLOOR)
    steps(control, 100, 0.0, come=2, end=2)
    seen = []
    for _ in range(20):
        steps(control, 1, 0.0, come=come, end=2)
        seen.append(control.is_overloaded)
    # A hundred a second are served, so that more than thirty are more than 0.3 s. By one more in a step it does not grow.
    assert (seen.index(True) + 1 if True in seen else None) == begins


def test_by_long_windows_a_queue_grows_that_is_hardly_longer_in_each_step() -> None:
    control = OverloadControl(floor=FLOOR)
    steps(control, 100, 0.0, come=2, end=2)
    steps(control, 1, 0.0, come=31)
    steps(control, 10, 0.0, come=3, end=2)
    assert not control.is_overloaded
    # The end of the third window.
    steps(control, 1, 0.0, come=3, end=2)
    assert control.is_overloaded


def test_clients_that_all_come_at_once_are_not_too_many() -> None:
    control = OverloadControl(floor=FLOOR)
    for come in (150, 150, 150, 50):
        steps(control, 1, 0.0, come=come)
    steps(control, 200, TOO_LONG, come=2, end=2)
    assert not control.is_overloaded
    # However long they wait: the queue stands.
    steps(control, 200, 3 * TOO_LONG, come=2, end=2)
    assert not control.is_overloaded


@pytest.mark.parametrize(
    ("wait", "grew"), [(TOO_LONG, True), (TOO_LONG + LITTLE, False), (TOO_LONG + LITTLE, True)]
)
def test_a_wait_may_be_too_long_where_the_queue_has_grown_lately(wait: float, *, grew: bool) -> None:
    control = OverloadControl(floor=FLOOR)
    steps(control, 40, 0.0, come=2, end=2)
    for _ in range(20):
        control.began()
    # The window is one of the last five until the end of the fifth after it.
    steps(control, 22 if grew else 23, 0.0, come=2, end=2)
    steps(control, 1, wait, come=2, end=2)
    assert control.is_overloaded is (grew and wait > TOO_LONG)


def test_the_first_ceiling_is_what_is_served_in_twice_the_target() -> None:
    control = overloaded(20, served=2)
    # By Little's law: 100 a second, of which each may wait for 30 ms.
    assert control._served == pytest.approx(100, rel=1e-3)
    assert control.ceiling == pytest.approx(FLOOR + 3, rel=1e-3)
    assert control.level == 5.0
    assert control._busy == 20


def test_each_class_may_fill_its_part_of_the_ceiling() -> None:
    control = overloaded()
    control.ceiling = 100.0
    most = {}
    for importance in Importance:
        control.under_way = 0
        while control.admit(rank_of(importance, 0)):
            control.began()
        most[importance] = control.under_way
    assert list(most.values()) == [150, 125, 100, 100, 90]
    # Whatever the ceiling, as many as always may be.
    control.ceiling, control.under_way = 1.0, FLOOR - 1
    assert control.admit(rank_of(Importance.HEAVY, 0))
    control.under_way = FLOOR
    assert not control.admit(rank_of(Importance.HEAVY, 0))


def test_impatience_is_for_more_than_the_most_important_may_fill() -> None:
    control = overloaded(20)
    control.ceiling = 10.0
    seen = []
    for under_way, stalled in ((15, 0), (16, 0), (16, 1)):
        control.under_way, control.stalled = under_way, stalled
        seen.append(control.is_impatient)
    control.ceiling, control.stalled = 1.0, 0
    for under_way, is_overloaded in ((FLOOR, True), (FLOOR + 1, True), (FLOOR + 1, False)):
        control.under_way, control.is_overloaded = under_way, is_overloaded
        seen.append(control.is_impatient)
    assert seen == [False, True, False, False, True, False]


def test_all_are_admitted_during_a_trial_and_nobody_is_impatient() -> None:
    control = overloaded(20)
    steps_until(control, lambda: control._tries, 0.5)
    control.ceiling = 1.0
    assert control.admit(rank_of(Importance.HEAVY, PLACES - 1))
    assert control._refused_now == 0
    assert not control.is_impatient


def test_load_is_by_how_many_more_come_than_are_served() -> None:
    control = overloaded(20)
    seen = []
    for border, share in ((160, 0.0), (80, 0.0), (32, 0.0), (16, 0.0), (15, 0.9), (3, 0.0), (159, 0.5)):
        control._arrivals.border, control._arrivals.share = border, share
        seen.append(control.load)
    # Ten times as many at most: who is told to wait for longer than that would not come back.
    assert seen == [1.0, 2.0, 5.0, 10.0, 10.0, 10.0, pytest.approx(160 / 159.5)]


def test_a_queue_that_stands_cuts_the_ceiling_every_sixth_step() -> None:
    control = overloaded(8)
    control.ceiling = 100.0
    seen = []
    for _ in range(12):
        control.step(STEP, 2 * TARGET)
        seen.append(control.ceiling)
    assert seen == [100.0] * 5 + [50.0] * 6 + [25.0]


def test_it_is_cut_by_as_much_as_was_waited_too_long_and_by_half_at_most() -> None:
    for wait, then in ((TARGET, 100.0), (1.25 * TARGET, 80.0), (2 * TARGET, 50.0), (1.0, 50.0)):
        control = overloaded(8)
        control.ceiling = 100.0
        steps(control, 6, wait)
        assert control.ceiling == pytest.approx(then)


def test_it_is_never_cut_below_what_always_may_be_under_way() -> None:
    control = overloaded(FLOOR + 1)
    steps(control, 90, 0.2)
    assert control.ceiling == FLOOR
    assert control.is_overloaded


def test_the_ceiling_is_not_blamed_for_what_was_let_in_before_it() -> None:
    control = overloaded(16)
    control.ceiling = 10.0
    # Sixteen are more than the fifteen for which there is room.
    steps(control, 20, 1.0)
    assert control.ceiling == 10.0
    control.ended()
    steps(control, 5, 1.0)
    assert control.ceiling == 10.0
    # Too many once more: the count begins again.
    control.began()
    steps(control, 1, 1.0)
    control.ended()
    steps(control, 5, 1.0)
    assert control.ceiling == 10.0
    steps(control, 1, 1.0)
    assert control.ceiling == 5.0


def test_the_ceiling_rises_while_somebody_is_refused_and_nobody_waits() -> None:
    control = overloaded(8)
    control.ceiling = 100.0
    steps(control, 3, TARGET)
    assert control.ceiling == 100.0
    control._arrivals.border = 0
    assert not control.admit(rank_of(Importance.READ, 0))
    steps(control, 1, TARGET)
    assert control.ceiling == 102.0
    # What was refused is counted in one step.
    steps(control, 1, TARGET)
    assert control.ceiling == 102.0
    control.ceiling = HARD_CEILING - 1.0
    control._refused_now = 1
    steps(control, 1, TARGET)
    assert control.ceiling == HARD_CEILING


def test_the_border_aims_at_three_quarters_of_the_ceiling_in_a_fifth_of_a_second() -> None:
    control = overloaded(20, served=2)
    control.ceiling = 40.0
    for _ in range(100):
        control._arrivals.is_served(rank_of(Importance.READ, 7))
    served = control._served
    steps(control, 1, 0.0)
    # The mean of the rate, and ten more in 0.2 s, of what came in this step.
    wanted = 0.8 * served + (30 - 20) / 0.2
    assert control._arrivals.border == rank_of(Importance.READ, 7)
    assert control._arrivals.share == pytest.approx(wanted * STEP / 100, rel=1e-3)


def test_what_is_under_way_counts_by_its_mean_where_it_grows_and_at_once_where_it_shrinks() -> None:
    control = overloaded(20)
    for _ in range(10):
        control.began()
    control.step(STEP, 0.0)
    assert control._busy == pytest.approx(22)
    for _ in range(25):
        control.ended_unserved()
    control.step(STEP, 0.0)
    assert control._busy == 5


def test_it_is_over_after_half_a_second_without_a_refusal_or_a_wait() -> None:
    for wait, refused in ((TARGET, 0), (TARGET, 1), (TARGET + LITTLE, 0)):
        control, seen = overloaded(8), list[bool]()
        steps(control, 24, TARGET)
        control._refused_now = refused
        # Unless it is disturbed this is the last step; else as many are needed again.
        for number, then in ((1, wait), (24, TARGET), (1, TARGET)):
            seen.append(control.is_overloaded)
            steps(control, number, then)
        assert seen == [True, wait > TARGET or refused == 1, wait > TARGET or refused == 1]
        assert not control.is_overloaded
        assert (control.ceiling, control.level) == (HARD_CEILING, 5.0)


def test_pauses_between_trials_grow_while_the_queue_does() -> None:
    control = overloaded(20, pause=FIRST_PAUSE)
    found = []
    for _ in range(6):
        found.append(steps_until(control, lambda: control._tries, 0.5))
        found.append(steps_until(control, lambda: not control._tries, 0.5, come=2))
        assert control.is_overloaded
    assert found == [
        pytest.approx(pause / STEP + 1, abs=1) if at % 2 == 0 else 4
        for at, pause in enumerate((FIRST_PAUSE, 0, 1, 0, 4, 0, 16, 0, 30, 0, 30, 0))
    ]


def test_a_trial_in_which_the_queue_does_not_grow_ends_the_overload() -> None:
    control = overloaded(20)
    steps_until(control, lambda: control._tries, 0.5)
    assert steps_until(control, lambda: not control._tries, 0.5) == pytest.approx(0.4 / STEP + 1, abs=1)
    assert not control.is_overloaded
    # It was clients that wait for their answers: a queue of theirs may stand as before, and for longer.
    steps(control, 20, 2 * TOO_LONG)
    assert not control.is_overloaded


def test_a_trial_is_of_so_many_steps_however_long_they_take() -> None:
    control = overloaded(20, pause=FIRST_PAUSE)
    steps_until(control, lambda: control._tries, 0.5)
    number = 0
    while control._tries:
        control.step(0.3, 0.5)
        number += 1
    assert number == pytest.approx(0.4 / STEP + 1, abs=1)


@pytest.mark.parametrize("wait", [TARGET, TARGET + LITTLE])
def test_after_a_trial_in_which_nobody_waited_a_queue_that_stands_is_the_same_overload(wait: float) -> None:
    control = overloaded(20)
    steps_until(control, lambda: control._tries, 0.5)
    steps_until(control, lambda: not control._tries, wait)
    assert not control.is_overloaded
    steps(control, 1, TARGET + LITTLE)
    assert control.is_overloaded is (wait <= TARGET)


def test_a_queue_that_stands_again_within_ten_seconds_is_the_same_overload() -> None:
    seen = {}
    for pause in (9.9, 10.2):
        control = overloaded(20)
        control._refused_now = 0
        steps(control, 25, 0.0)
        assert not control.is_overloaded
        steps(control, int(pause / STEP), 0.0)
        steps(control, 1, TARGET)
        assert not control.is_overloaded
        steps(control, 1, TARGET + LITTLE)
        seen[pause] = control.is_overloaded
    assert seen == {9.9: True, 10.2: False}


def test_an_overload_begins_with_nothing_of_the_one_before() -> None:
    control = overloaded(20)
    control._since_cut, control._calm, control._refused_now = 5, 24, 7
    control._since, control._pause = 1.9, 30.0
    control._arrivals.border = 3
    control._end()
    steps(control, 1, 0.5)
    assert control.is_overloaded
    assert (control._since_cut, control._calm, control._refused_now, control._since) == (0, 0, 0, 0.0)
    assert control._pause == FIRST_PAUSE
    assert control.level == 5.0


def test_after_a_time_without_steps_nothing_of_it_counts() -> None:
    control = OverloadControl(floor=FLOOR)
    steps(control, 7, 0.0, come=2, end=1)
    for _ in range(30):
        control.began()
    control.ended()
    control._returns = True
    control.begin_looking()
    # The queue's growth is forgotten, and what came and went meanwhile.
    steps(control, 1, TARGET + LITTLE)
    assert not control.is_overloaded
    assert control._served == 0
    assert not control._returns
    steps(control, 6, 0.0, come=2)
    assert not control.is_overloaded
    steps(control, 1, 0.0, come=2)
    assert control.is_overloaded


def test_whoever_waits_for_a_client_is_not_busy() -> None:
    for stalled in (3, 2):
        control = OverloadControl(floor=FLOOR)
        steps(control, 4, 0.0)
        control.under_way, control.stalled = FLOOR + 3, stalled
        steps(control, 4, TOO_LONG + LITTLE)
        assert control.is_overloaded is (stalled < 3)
