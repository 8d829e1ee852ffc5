"""The rules of overload control, to the step and to the number; what comes of them is looked at in simulated time."""

from collections.abc import Callable
from typing import Final

import pytest

from tradepost.core.overload.arrivals import PLACES, Importance, rank_of
from tradepost.core.overload.control import HARD_CEILING, LONG, STEP, TARGET, TOO_LONG, OverloadControl

FLOOR: Final = 4
LITTLE: Final = 1e-6


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


def overloaded(under_way: int = 20, *, served: int = 0) -> OverloadControl:
    """Return a control that has just seen an overload, with so many under way and a rate of ``served`` each step."""
    control = OverloadControl(floor=FLOOR)
    for _ in range(under_way):
        control.began()
    seen = []
    for number, wait in ((200, 0.0), (1, TOO_LONG + LITTLE)):
        steps(control, number, wait, come=served, end=served)
        seen.append(control.is_overloaded)
    assert seen == [False, True]
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
    # A fifth of 50 a second.
    assert control._served == pytest.approx(10)
    control.step(STEP, 0.0)
    assert control._served == pytest.approx(8)


@pytest.mark.parametrize(("grows", "bearable"), [(True, LONG), (False, TOO_LONG)])
def test_how_long_a_wait_may_be_depends_on_whether_the_queue_grows(*, grows: bool, bearable: float) -> None:
    control = OverloadControl(floor=FLOOR)
    for _ in range(20):
        control.began()
    steps(control, 4, 0.0)
    steps(control, 16, bearable, come=2 if grows else 0)
    assert not control.is_overloaded
    assert control.wait == bearable
    steps(control, 1, bearable + LITTLE, come=2 if grows else 0)
    assert control.is_overloaded


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
    control = overloaded(20)
    found = []
    for _ in range(4):
        found.append(steps_until(control, lambda: control._tries, 0.5))
        # Four windows: the first of a trial is held against nothing, but three have to grow.
        found.append(steps_until(control, lambda: not control._tries, 0.5, come=1))
        assert control.is_overloaded
    assert found == [
        pytest.approx(pause / STEP + 1, abs=1) if at % 2 == 0 else 12
        for at, pause in enumerate((2, 0, 8, 0, 30, 0, 30, 0))
    ]


def test_a_trial_in_which_the_queue_does_not_grow_ends_the_overload() -> None:
    control = overloaded(20)
    steps_until(control, lambda: control._tries, 0.5)
    assert steps_until(control, lambda: not control._tries, 0.5) == pytest.approx(0.4 / STEP + 1, abs=1)
    assert not control.is_overloaded
    # It was clients that wait for their answers: a queue of theirs may stand as before.
    steps(control, 20, TOO_LONG)
    assert not control.is_overloaded


def test_a_queue_that_stands_again_within_ten_seconds_is_the_same_overload() -> None:
    seen = {}
    for pause in (9.9, 10.2):
        control = overloaded(20)
        control._pause = 8.0
        control._refused_now = 0
        steps(control, 25, 0.0)
        assert not control.is_overloaded
        steps(control, int(pause / STEP), 0.0)
        steps(control, 1, TARGET)
        assert not control.is_overloaded
        steps(control, 1, TARGET + LITTLE)
        seen[pause] = (control.is_overloaded, control._pause)
    assert seen == {9.9: (True, 8.0), 10.2: (False, 2.0)}


def test_an_overload_begins_with_nothing_of_the_one_before() -> None:
    control = overloaded(20)
    control._since_cut, control._calm, control._refused_now = 5, 24, 7
    control._since = 1.9
    control._arrivals.border = 3
    control._end()
    steps(control, 1, 0.5)
    assert control.is_overloaded
    assert (control._since_cut, control._calm, control._refused_now, control._since) == (0, 0, 0, 0.0)
    assert control.level == 5.0


def test_after_a_time_without_steps_nothing_of_it_counts() -> None:
    control = OverloadControl(floor=FLOOR)
    steps(control, 12, 0.0, come=2)
    for _ in range(30):
        control.began()
    control.ended()
    control._returns = True
    control.begin_looking()
    # The queue's growth is forgotten, and what came and went meanwhile.
    steps(control, 1, LONG + LITTLE)
    assert not control.is_overloaded
    assert control._served == 0
    assert not control._returns


def test_whoever_waits_for_a_client_is_not_busy() -> None:
    control = OverloadControl(floor=FLOOR)
    control.under_way, control.stalled = FLOOR + 3, 3
    control.step(STEP, TOO_LONG + LITTLE)
    assert not control.is_overloaded
    control.stalled = 2
    control.step(STEP, TOO_LONG + LITTLE)
    assert control.is_overloaded
