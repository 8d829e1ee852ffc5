import gc

from tradepost.core.overload.known import KNOWN_FOR, NOTED_AGAIN, KnownCredentials
from tradepost.core.overload.waits import LOOKS, WINDOW, Waits, all_shared


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


def test_the_last_moments_are_a_tenth_of_a_second_and_three_looks_at_least() -> None:
    assert (WINDOW, LOOKS) == (0.1, 3)
    waits = Waits("lane")
    seen = []
    for now, wait in (
        (0.0, 1.0),
        (0.05, 2.0),
        (0.0999, 3.0),
        (0.1, 4.0),
        (0.1501, 5.0),
        (0.16, 6.0),
        (0.5, 7.0),
    ):
        waits.ended(wait)
        seen.append(waits.look(now))
    # The look that was at the window's beginning is the oldest that counts, and three do on a machine that stood still.
    assert seen == [0.0, 0.0, 0.0, 1.0, 2.0, 2.0, 5.0]
    waits.ended(8.0)
    assert waits.look(0.9) == 6.0
    # One before it counts no more.
    waits = Waits("lane")
    for now, wait in ((-1.0, 1.0), (0.0, 2.0), (0.05, 3.0), (0.1, 4.0)):
        waits.ended(wait)
        seen.append(waits.look(now))
    assert seen[-1] == 2.0


def test_where_nobody_waits_and_nobodys_turn_came_it_is_what_else_was_waited() -> None:
    waits = Waits("turn")
    assert [waits.look(now / 10, otherwise=0.3) for now in range(4)] == [0.0, 0.0, 0.3, 0.3]
    waits.ended(0.2)
    assert waits.look(0.4, otherwise=0.3) == 0.2
    assert waits.look(0.5) == 0.0


def test_who_comes_during_a_look_has_not_waited_yet() -> None:
    waits = Waits("lane", lambda: 7.0)
    assert [waits.look(now) for now in (1.0, 2.0, 3.0)] == [0.0, 0.0, 0.0]
    assert [waits.look(now) for now in (8.0, 9.0, 10.0)] == [0.0, 0.0, 1.0]


def test_what_ended_before_it_was_forgotten_counts_no_more() -> None:
    waits = Waits("lane", lambda: 0.0)
    waits.ended(0.01)
    waits.forget()
    assert [waits.look(now) for now in (1.0, 2.0, 3.0)] == [0.0, 0.0, 1.0]
    waits.forget()
    assert [waits.look(now) for now in (4.0, 5.0, 6.0)] == [0.0, 0.0, 4.0]


def test_a_queue_is_looked_at_for_as_long_as_there_is_one() -> None:
    before = len(all_shared())
    waits = Waits.shared("connection", lambda: 1.0)
    assert waits in all_shared()
    assert len(all_shared()) == before + 1
    assert (waits.kind, waits.impatient) == ("connection", False)
    assert [waits.look(now) for now in (1.0, 2.0, 4.0)] == [0.0, 0.0, 0.0]
    assert waits.look(5.0) == 1.0
    assert Waits("lane") not in all_shared()
    del waits
    gc.collect()
    assert len(all_shared()) <= before


def test_credentials_are_known_for_a_minute() -> None:
    known = KnownCredentials()
    known.accept(b"Bearer a", 100.0)
    assert known.is_known(b"Bearer a", 100.0 + KNOWN_FOR - 1)
    assert not known.is_known(b"Bearer a", 100.0 + KNOWN_FOR)
    assert not known.is_known(b"Bearer b", 100.0)
    known.accept(b"Bearer a", 150.0)
    assert known.is_known(b"Bearer a", 150.0 + KNOWN_FOR - 1)


def test_a_credential_is_noted_once_a_second_and_known_for_a_minute_from_then() -> None:
    known = KnownCredentials(limit=2)
    known.accept(b"a", 0.5)
    known.accept(b"b", 0.5)
    known.accept(b"a", 0.5 + NOTED_AGAIN - 0.1)
    assert not known.is_known(b"a", 0.5 + KNOWN_FOR)
    known.accept(b"b", 0.5 + NOTED_AGAIN)
    assert known.is_known(b"b", 0.5 + KNOWN_FOR)
    # It is the latest now, and the other goes for another.
    known.accept(b"c", 2.0)
    assert [known.is_known(one, 2.0) for one in (b"a", b"b", b"c")] == [False, True, True]


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
