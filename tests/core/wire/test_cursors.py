"""Cursors: what they hold comes back exactly, and only to the list that they were made for."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepost.core.secret_keys import SecretKeys
from tradepost.core.wire.cursors import LONGEST, BadCursor, Cursors
from tradepost.core.wire.pagination import Page, Place, Window

CURSORS = Cursors(SecretKeys("a secret"))
VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    st.datetimes(timezones=st.just(UTC)),
    st.decimals(0, 10**10, places=2),
)


@given(st.lists(VALUES, min_size=1, max_size=5).map(tuple))
def test_a_place_comes_back_as_it_was(place: Place) -> None:
    cursor = CURSORS.issue("list", place)
    assert len(cursor) <= LONGEST * len(place)
    read = CURSORS.read("list", cursor)
    assert read == place
    assert list(map(type, read)) == list(map(type, place))
    assert CURSORS.issue("list", read) == cursor


def test_a_moment_of_another_zone_is_the_same_moment() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, timezone(timedelta(hours=5)))
    assert CURSORS.read("list", CURSORS.issue("list", (moment,))) == (moment,)


@given(st.lists(VALUES, min_size=1, max_size=3).map(tuple), st.data())
def test_a_changed_one_is_none(place: Place, data: st.DataObject) -> None:
    cursor = CURSORS.issue("list", place)
    at = data.draw(st.integers(0, len(cursor) - 2), "at")
    other = data.draw(st.sampled_from([letter for letter in "ABab01-_" if letter != cursor[at]]), "other")
    for changed in (cursor[:at] + other + cursor[at + 1 :], cursor[:at], cursor + "AAAA"):
        with pytest.raises(BadCursor):
            CURSORS.read("list", changed)


@pytest.mark.parametrize("text", ["", "a", "é", "====", "+/+/", "MQ", " ", "x" * 16, "x" * (LONGEST + 1)])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadCursor):
        CURSORS.read("list", text)


def test_it_is_bound_to_list_order_and_secret() -> None:
    window = Window(limit=1, sort="-price")
    page = CURSORS.sealed(Page(["a"], None, window, end=(Decimal("1.50"), 7)), "items x")
    assert page.next_cursor is not None
    follows = Window(limit=1, sort="-price", cursor=page.next_cursor)
    assert CURSORS.opened(follows, "items x").after == (Decimal("1.50"), 7)
    for cursors, sort, scope in (
        (CURSORS, "price", "items x"),
        (CURSORS, "-price,views", "items x"),
        (CURSORS, "-price", "items y"),
        (Cursors(SecretKeys("another secret")), "-price", "items x"),
    ):
        with pytest.raises(BadCursor):
            cursors.opened(Window(limit=1, sort=sort, cursor=page.next_cursor), scope)


def test_the_end_of_a_list_has_none() -> None:
    page = Page(["a"], 1, Window(limit=1))
    assert CURSORS.sealed(page, "items").info["next_cursor"] is None
    assert CURSORS.opened(page.window, "items") is page.window


def test_with_one_nobody_knows_which_page_it_is() -> None:
    info = Page(["a"], 9, Window(limit=1, after=(3,)), next_cursor="c").info
    assert info == {"total": 9, "page": None, "size": 1, "pages": None, "next_cursor": "c"}
