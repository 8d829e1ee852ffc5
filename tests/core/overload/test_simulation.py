"""Overload control in simulated time: each schedule is drawn by a seed, and a failing one can be looked at again.

``SOAK_SCHEDULES=10000`` goes through as many, ``SCHEDULE=17`` through that one of each kind; a test run through a few. The
limits are those that all of ten thousand keep: chance has some have more come than others.
"""

from itertools import pairwise

import pytest

from tests.core.overload.plant import Plant
from tests.simulation.loop import seeds
from tradepost.core.overload.arrivals import Importance
from tradepost.core.overload.control import STEP, OverloadControl

SEEDS = seeds(3, kinds=20)
FEW = seeds(1, kinds=500)
"""Of schedules with so many clients that each takes seconds."""
CALM = 0.6
BEGINS = 0.5
NOTICED = {1.5: 1.2, 3: 0.3, 10: 0.3}
"""Seconds after which so many times the capacity are told from a crowd that comes all at once, and what came meanwhile is gone."""
ENDS = 2.5


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("times", [1.5, 3, 10])
def test_what_is_served_stays_near_the_capacity_and_quick(seed: int, times: float) -> None:
    plant = Plant(seed).run(lambda now: times if BEGINS <= now < ENDS else CALM, 5)
    # What the refusals themselves cost nobody can have.
    possible = (1 - times * plant.refusal) / (1 - plant.refusal)
    assert plant.goodput(BEGINS + NOTICED[times], ENDS) >= 0.85 * min(1.0, possible)
    assert plant.latency(BEGINS + NOTICED[times]) < 0.35
    # And all is as before soon after.
    assert all(plant.served(importance, ENDS + 2) == 1 for importance in Importance)
    assert plant.control.level == len(Importance)


@pytest.mark.parametrize("seed", FEW)
@pytest.mark.parametrize("times", [3, 10])
def test_refusing_begins_soon_and_is_late_for_few(seed: int, times: float) -> None:
    plant = Plant(seed).run(lambda now: times if BEGINS <= now < 30 else CALM, 30)
    refused = [one for one in plant.asked if one.refused]
    assert min(one.ended for one in refused) <= BEGINS + 0.3
    # Those that were let in before it began, and in the trials.
    late = sum(one.ended - one.at > 0.05 for one in refused)
    assert late < 0.015 * len(refused)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("times", [1.5, 3, 10])
def test_the_least_important_are_refused_first(seed: int, times: float) -> None:
    plant = Plant(seed).run(lambda now: times if now >= BEGINS else CALM, 5)
    shares = [plant.served(importance, BEGINS + NOTICED[times]) for importance in Importance]
    for more, less in pairwise(shares):
        assert more >= less - 0.15
    if times == 3:
        assert shares[Importance.KEYED] >= 0.85
        assert shares[Importance.STRANGER] <= 0.12
        # Only who came in a trial.
        assert shares[Importance.HEAVY] <= 0.06


@pytest.mark.parametrize("seed", SEEDS)
def test_whoever_is_served_stays_served(seed: int) -> None:
    plant = Plant(seed, shares=(0, 0, 1, 0, 0), people=20).run(lambda _now: 2.0, 2.2)
    shares = []
    for person in range(20):
        asked = [one for one in plant.asked if one.person == person and one.at > NOTICED[1.5]]
        shares.append(sum(not one.refused for one in asked) / max(1, len(asked)))
    assert sum(share > 0.8 or share < 0.2 for share in shares) >= 6


@pytest.mark.parametrize("seed", SEEDS)
def test_one_address_that_sends_everything_gets_a_share(seed: int) -> None:
    plant = Plant(seed, people=1, shares=(0, 0, 0, 1, 0)).run(lambda _now: 3.0, 2)
    assert plant.goodput(0.5, 2) >= 0.85


@pytest.mark.parametrize("seed", SEEDS)
def test_a_crowd_below_the_capacity_is_let_alone(seed: int) -> None:
    plant = Plant(seed).run(lambda _now: 0.7, 3)
    assert sum(one.refused for one in plant.asked) <= 0.02 * len(plant.asked)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("clients", "cost"),
    [
        (16, 0.02),
        (64, 0.0005),
        (64, 0.005),
        (64, 0.02),
        (256, 0.001),
        (256, 0.005),
        (512, 0.001),
        (512, 0.006),
    ],
)
def test_clients_that_wait_for_their_answers_are_all_served(seed: int, clients: int, cost: float) -> None:
    plant = Plant(seed, closed=clients, cost=cost, people=1).run(lambda _now: 0.0, 3)
    assert not any(one.refused for one in plant.asked)


@pytest.mark.parametrize("seed", FEW)
def test_such_clients_are_known_soon_when_so_many_connect_that_it_looks_like_too_many(seed: int) -> None:
    plant = Plant(seed, closed=1500, cost=0.001, people=1).run(lambda _now: 0.0, 5)
    assert any(one.refused for one in plant.asked)
    assert not any(one.refused and one.at > 0.6 for one in plant.asked)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("times", "lasts"), [(8, 0.01), (4, 0.08), (2, 0.2), (1.5, 0.4)])
def test_a_burst_that_drains_soon_is_let_alone(seed: int, times: float, lasts: float) -> None:
    plant = Plant(seed, cost=0.001).run(lambda now: times if 0.5 <= now < 0.5 + lasts else 0.3, 2)
    assert not any(one.refused for one in plant.asked)


@pytest.mark.parametrize("seed", SEEDS)
def test_who_comes_back_when_told_to_forms_no_wave(seed: int) -> None:
    plant = Plant(seed, again=lambda chance, load: 1 + int(chance * min(10, 4 + load)))
    plant.run(lambda now: 10 if 0.5 <= now < 1 else CALM, 6)
    came = [sum(start <= one.at < start + 0.25 for one in plant.asked) for start in (2, 3, 4, 5)]
    assert max(came) < 2 * 0.25 / plant.cost
    # So many come on their own, give or take three standard deviations.
    assert plant.goodput(2, 6) >= CALM - 0.08
    # At worst such a wave is seen as another overload.
    assert plant.latency(2) < 1.2


def test_without_control_the_same_crowd_gets_nothing() -> None:
    plant = Plant(1, controlled=False).run(lambda now: 3.0 if now >= BEGINS else CALM, 4)
    assert plant.goodput(3, 4) < 0.1


def test_so_many_as_there_are_connections_are_never_refused() -> None:
    for number in (8, 9):
        control, seen = OverloadControl(floor=8), set[bool]()
        for _ in range(number):
            control.began()
        for _ in range(50):
            control.step(0.02, 6.0)
            seen.add(control.is_overloaded)
        assert (True in seen) is (number == 9)


def test_what_waits_for_its_client_fills_no_room() -> None:
    seen = []
    for stalled in (499, 0):
        control = OverloadControl(floor=2)
        control.under_way, control.stalled = 500, stalled
        for _ in range(4):
            control.step(0.02, 6.0)
        seen.append((control.is_overloaded, control.admit(0)))
    assert seen == [(False, True), (True, False)]


def test_trials_become_rarer_while_the_queue_grows_of_them() -> None:
    control, trials = OverloadControl(floor=2), list[float]()
    tried = False
    for number in range(int(50 / STEP)):
        for _ in range(5):
            control.began()
        control.step(STEP, 3.0)
        if control._tries and not tried:
            trials.append(number * STEP)
        tried = control._tries
    # Each ends within a tenth of a second, and the pauses are of 0.25, 1, 4, 16 and 30 seconds.
    pauses = [later - earlier for earlier, later in pairwise(trials)]
    assert trials[0] == pytest.approx(0.25, abs=0.2)
    assert pauses == [pytest.approx(pause, abs=0.2) for pause in (1, 4, 16)]


def test_who_waits_for_long_is_refused_once_more_is_under_way_than_the_most_important_may_fill() -> None:
    control = OverloadControl(floor=2)
    control.is_overloaded, control.ceiling = True, 10.0
    seen = []
    for under_way in (15, 16):
        control.under_way = under_way
        seen.append(control.is_impatient)
    assert seen == [False, True]
