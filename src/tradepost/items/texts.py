"""What search and sorting know of an item: its texts in their normal form, made by one function for every writer."""

from collections.abc import Sequence
from typing import Any, TypedDict

from tradepost.core.wire.folding import searchable, searchable_list, sort_key


class TextRow(TypedDict):
    """A row of ``item_texts``."""

    item_id: int
    title: str
    tags: str
    description: str


def indexed(title: str, version: int) -> dict[str, Any]:
    """Return the columns of an item whose texts are written in the same transaction."""
    return {"title_key": sort_key(title), "indexed_version": version}


def text_row(item_id: int, *, title: str, description: str | None, tags: Sequence[str]) -> TextRow:
    """Return the texts of an item as search has them."""
    return {
        "item_id": item_id,
        "title": searchable(title),
        "tags": searchable_list(tags),
        "description": searchable(description),
    }
