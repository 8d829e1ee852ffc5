from tradepost.core.overload.known import KNOWN_FOR, KnownCredentials
from tradepost.core.overload.waits import Waits


def test_a_queue_that_somebody_went_past_does_not_stand() -> None:
    waits = Waits("lane")
    for step in range(20):
        waits.ended(0.5)
        if step % 4 == 0:
            waits.ended(0.001)
        assert waits.look(step * 0.02) <= 0.001


def test_a_queue_stands_once_nobody_went_past_for_a_tenth_of_a_second() -> None:
    waits = Waits("lane")
    seen = []
    for step in range(8):
        waits.ended(0.03)
        seen.append(waits.look(step * 0.02))
    assert seen == [0.0] * 5 + [0.03] * 3


def test_one_long_stop_of_the_machine_says_nothing() -> None:
    waits = Waits("lane")
    waits.ended(2.0)
    assert waits.look(2.0) == 0
    waits.ended(0.001)
    assert waits.look(4.0) == 0
    waits.ended(1.0)
    assert waits.look(6.0) == 0.001


def test_who_still_waits_counts_where_nobodys_turn_came() -> None:
    came: list[float] = [0.0]
    waits = Waits("lane", lambda: came[0] if came else None)
    seen = [round(waits.look(step * 0.06), 2) for step in range(1, 6)]
    assert seen == [0.0, 0.0, 0.06, 0.12, 0.18]
    came.clear()
    assert waits.look(0.36) == 0
    waits.forget()
    assert waits.look(0.42, otherwise=0.4) == 0


def test_credentials_are_known_for_a_minute() -> None:
    known = KnownCredentials()
    known.accept(b"Bearer a", 100.0)
    assert known.is_known(b"Bearer a", 100.0 + KNOWN_FOR - 1)
    assert not known.is_known(b"Bearer a", 100.0 + KNOWN_FOR)
    assert not known.is_known(b"Bearer b", 100.0)
    known.accept(b"Bearer a", 150.0)
    assert known.is_known(b"Bearer a", 150.0 + KNOWN_FOR - 1)


def test_the_set_of_credentials_is_bounded_and_the_oldest_go_first() -> None:
    known = KnownCredentials(limit=3)
    for number in range(10):
        known.accept(b"%d" % number, 1.0)
    assert len(known) == 3
    assert [number for number in range(10) if known.is_known(b"%d" % number, 1.0)] == [7, 8, 9]


def test_credentials_of_long_ago_are_forgotten_as_others_come() -> None:
    known = KnownCredentials()
    for number in range(5):
        known.accept(b"%d" % number, 1.0)
    for number in range(5):
        known.accept(b"new %d" % number, 100.0)
    assert len(known) == 5
