"""The errors of items."""

from tradepost.core.errors import NotFound, Unprocessable


class ItemNotFound(NotFound):
    """No item has this id, or none that this visitor may see."""

    code = "ITEM_NOT_FOUND"
    detail = "Item not found"


def unknown_category() -> Unprocessable:
    """Return the error for a ``category_id`` that names no category."""
    return Unprocessable(("body", "category_id"), "There is no category of this id", kind="unknown_category")
