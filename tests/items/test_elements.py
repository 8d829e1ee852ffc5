"""Elements about items that each engine spells in its own way: both texts, and one answer."""

import pytest
from sqlalchemy import literal, select

from tests.spelling import spelt
from tradepost.core.database.engines import Database
from tradepost.items.filters import CaseFolded
from tradepost.items.models import Item
from tradepost.items.repository.statements import TagsOfItem


def test_each_engine_folds_case_with_what_knows_all_letters() -> None:
    assert spelt(select(Item.id).where(CaseFolded(Item.title) == "x")) == (
        'SELECT items.id FROM items WHERE lower(items.title COLLATE "und-x-icu") = $1::VARCHAR',
        "SELECT items.id FROM items WHERE unicode_lower(items.title) = ?",
    )


@pytest.mark.parametrize(
    ("text", "folded"), [("ÄRMEL", "ärmel"), ("ШАПКА", "шапка"), ("Plain", "plain"), (None, None)]
)
async def test_text_is_folded_in_any_script(database: Database, text: str | None, folded: str | None) -> None:
    async with database.read() as db:
        assert await db.scalar(select(CaseFolded(literal(text, Item.title.type)))) == folded


def test_tags_are_an_array_or_json() -> None:
    assert spelt(select(TagsOfItem().label("tags")).select_from(Item)) == (
        (
            "SELECT ARRAY(SELECT tag FROM item_tags WHERE item_tags.item_id = items.id ORDER BY position) "
            "AS tags FROM items"
        ),
        (
            "SELECT (SELECT json_group_array(tag) FROM (SELECT tag FROM item_tags "
            "WHERE item_tags.item_id = items.id ORDER BY position)) AS tags FROM items"
        ),
    )
