"""JSON that is written from rows is, to the byte, what the schemas would write."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Row
from sqlalchemy.engine.result import result_tuple

from tradepost.accounts.identities import Identity
from tradepost.accounts.models import User
from tradepost.accounts.permissions import Role
from tradepost.accounts.reader import profile_json
from tradepost.accounts.schemas import UserRead
from tradepost.core.wire.pagination import Page, Total, Window
from tradepost.core.wire.row_json import page_json, row_encoder
from tradepost.core.wire.schemas import MAX_ID
from tradepost.items.models import Item
from tradepost.items.schemas import (
    ItemPage,
    ItemRead,
    ItemRow,
    ItemStatus,
    item_json,
    new_item_shown,
    total_price,
)

# A machine that is busy is no failure.
unhurried = settings(deadline=None)

# What a database can hold: no lone surrogates.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    ['"\\/\b\f\n\r\t', "\u2028\u2029\x7f\x85", "<&>'", "é\u0301 ß İ ΟΔΟΣ", "😀 \U0010ffff \uffff", "\x00\x1f"]
)
ids = st.integers(1, MAX_ID)
moments = st.datetimes(timezones=st.just(UTC))
whole_seconds = moments.map(lambda moment: moment.replace(microsecond=0))
times = moments | whole_seconds | whole_seconds.map(lambda moment: moment.replace(microsecond=120_000))


def hundredths(low: int, high: int) -> st.SearchStrategy[Decimal]:
    """Return decimals with two places, as columns hold them, given in hundredths."""
    return st.integers(low, high).map(lambda number: Decimal(number).scaleb(-2))


prices = hundredths(1, 999_999_999_999) | st.sampled_from(
    [Decimal("0.10"), Decimal("10.00"), Decimal("1E+1")]
)
item_columns = st.fixed_dictionaries(
    {
        "id": ids,
        "title": texts,
        "description": st.none() | texts,
        "price": prices,
        "discount_price": st.none() | prices,
        "tax": st.none() | hundredths(0, 10_000),
        "status": st.sampled_from(ItemStatus),
        "category_id": st.none() | ids,
        "images": st.lists(texts, max_size=3),
        "views": st.integers(0, MAX_ID),
        "owner_id": ids,
        "version": st.integers(1, 2**31 - 1),
        "created_at": times,
        "updated_at": times,
    }
)
tag_lists = st.lists(texts, max_size=4)
public_views = st.fixed_dictionaries(
    {"first_name": texts, "last_name": texts, "avatar_url": st.none() | texts}
)
USER_COLUMNS = {
    "id": ids,
    "email": texts,
    "first_name": texts,
    "last_name": texts,
    "role": st.sampled_from(Role),
    "is_active": st.booleans(),
    "phone": st.none() | texts,
    "website": st.none() | texts,
    "avatar_url": st.none() | texts,
    "email_verified_at": st.none() | times,
    "created_at": times,
    "updated_at": times,
    "version": st.integers(1, 2**31 - 1),
}

PLAIN_ITEM = {
    "id": 1,
    "title": "Lamp",
    "description": None,
    "price": Decimal(10),
    "discount_price": None,
    "tax": None,
    "status": ItemStatus.ACTIVE,
    "category_id": None,
    "images": [],
    "views": 0,
    "owner_id": 2,
    "version": 1,
    "created_at": datetime(2026, 11, 23, tzinfo=UTC),
    "updated_at": datetime(2026, 11, 23, 0, 0, 0, 7, tzinfo=UTC),
}
PLAIN_OWNER = {"first_name": "Ada", "last_name": "Tester", "avatar_url": None}


def row_of(values: dict[str, Any]) -> Row[*tuple[Any, ...]]:
    """Return what SQLAlchemy answers for a row with these columns."""
    row: Row[*tuple[Any, ...]] = result_tuple(list(values))(list(values.values()))
    return row


def owner_of(item: dict[str, Any], owner: dict[str, Any]) -> dict[str, Any]:
    full_name = f"{owner['first_name']} {owner['last_name']}"
    return {"id": item["owner_id"], "full_name": full_name, **owner}


def model_of(item: dict[str, Any], tags: list[str], owner: dict[str, Any]) -> ItemRead:
    """Return the schema of an item, made the ordinary way."""
    total = total_price(item["price"], item["discount_price"], item["tax"])
    return ItemRead(**item, tags=tags, owner=owner_of(item, owner), total_price=total)  # type: ignore[arg-type]


def joined(item: dict[str, Any], tags: list[str], owner: dict[str, Any]) -> ItemRow:
    """Return an item as the repository reads it."""
    return ItemRow(**item, **{f"owner_{name}": value for name, value in owner.items()}, tags=tags)


@unhurried
@given(item=item_columns, tags=tag_lists, owner=public_views)
@example(item=PLAIN_ITEM, tags=[], owner=PLAIN_OWNER)
def test_an_item(item: dict[str, Any], tags: list[str], owner: dict[str, Any]) -> None:
    wanted = model_of(item, tags, owner).model_dump_json().encode()
    assert item_json(joined(item, tags, owner)) == wanted


@unhurried
@given(item=item_columns, tags=tag_lists, owner=public_views)
@example(item=PLAIN_ITEM, tags=["a", "b"], owner=PLAIN_OWNER)
def test_an_item_that_was_just_inserted(item: dict[str, Any], tags: list[str], owner: dict[str, Any]) -> None:
    values = {name: value for name, value in item.items() if name != "id"}
    public = row_of({"id": item["owner_id"], **owner})
    wanted = model_of(item, tags, owner).model_dump_json().encode()
    assert new_item_shown(item["id"], values, tags, public).body == wanted


@unhurried
@given(user=st.fixed_dictionaries(USER_COLUMNS), session_id=ids, session_end=times)
def test_a_person(user: dict[str, Any], session_id: int, session_end: datetime) -> None:
    identity = Identity(row_of({"session_id": session_id, "session_end": session_end, **user}))
    assert identity.profile().body == UserRead.model_validate(User(**user)).model_dump_json().encode()


@pytest.mark.parametrize("order", [sorted, lambda names: sorted(names, reverse=True)])
def test_the_order_of_the_columns_does_not_matter(order: Callable[[Any], list[str]]) -> None:
    user = {
        **dict.fromkeys(USER_COLUMNS),
        "id": 1,
        "email": "a@b.c",
        "first_name": "Ada",
        "last_name": "Tester",
    }
    assert profile_json(row_of({name: user[name] for name in order(user)})) == profile_json(row_of(user))


def test_the_generated_columns_are_those_of_the_tables() -> None:
    columns = {column.name for column in Item.__table__.columns}
    assert set(PLAIN_ITEM) == columns - {"title_key", "indexed_version", "views_class"}
    columns = {column.name for column in User.__table__.columns}
    keys = {"email_key", "first_name_key", "last_name_key"}
    assert set(USER_COLUMNS) == columns - {"hashed_password"} - keys


def test_a_row_that_lacks_a_field_is_no_answer() -> None:
    encode = row_encoder(ItemRead)
    with pytest.raises(KeyError):
        encode(PLAIN_ITEM)


@unhurried
@given(
    items=st.lists(item_columns, max_size=3),
    skip=st.integers(0, MAX_ID),
    limit=st.integers(1, 100),
    total=st.none() | st.integers(0, MAX_ID),
)
def test_a_page(items: list[dict[str, Any]], skip: int, limit: int, total: int | None) -> None:
    rows = [item_json(joined(item, [], PLAIN_OWNER)) for item in items]
    page = Page(rows, total, Window(skip, limit, Total.NONE if total is None else Total.EXACT))
    written = page_json("items", page)
    wanted = ItemPage(items=[model_of(item, [], PLAIN_OWNER) for item in items], **page.info)
    assert json.loads(written) == json.loads(wanted.model_dump_json())
    assert b" " not in page_json("items", Page([], total, page.window))
    assert list(json.loads(written)) == ["items", "total", "page", "size", "pages", "next_cursor"]
