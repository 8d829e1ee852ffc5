"""Elements about items that each engine spells in its own way: both texts, and one answer."""

from sqlalchemy import select

from tests.spelling import spelt
from tradepost.items.models import Item
from tradepost.items.repository.statements import TagsOfItem


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
