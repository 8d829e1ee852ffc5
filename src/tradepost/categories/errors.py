"""The errors of categories."""

from tradepost.core.errors import Conflict, NotFound, RuleBroken, Unprocessable


class CategoryNotFound(NotFound):
    """No category has this id or slug, or none that this visitor may see."""

    code = "CATEGORY_NOT_FOUND"
    detail = "Category not found"


class CategoryMoved(CategoryNotFound):
    """The slug is one that a category had before; ``slug`` is what it has now."""

    def __init__(self, slug: str) -> None:
        super().__init__()
        self.slug = slug


class CategoryCycle(RuleBroken):
    """A category would be its own ancestor."""

    code = "CATEGORY_CYCLE"
    detail = "A category cannot be moved into itself or one of its descendants"


class CategoryTooDeep(RuleBroken):
    """The tree would have more levels than it may."""

    code = "CATEGORY_TOO_DEEP"
    detail = "The tree of categories has at most 10 levels"


class CategoryInUse(Conflict):
    """The category has children or items, and ``move_to`` names no category for them."""

    code = "CATEGORY_IN_USE"
    detail = "The category has children or items; name a category to move them to with move_to"


def unknown_parent() -> Unprocessable:
    """Return the error for a ``parent_id`` that names no category."""
    return Unprocessable(("body", "parent_id"), "There is no category of this id", kind="unknown_category")


def unfit_target() -> Unprocessable:
    """Return the error for a ``move_to`` that cannot take over what a category leaves behind."""
    return Unprocessable(
        ("query", "move_to"),
        "Must be the id of another category, and not of a descendant of the deleted one",
        kind="unfit_category",
    )
