"""The errors of tags."""

from tradepost.core.errors import Conflict, NotFound, RuleBroken


class TagNotFound(NotFound):
    """No tag has this id."""

    code = "TAG_NOT_FOUND"
    detail = "Tag not found"


class TagExists(Conflict):
    """Another tag has this name."""

    code = "TAG_EXISTS"
    detail = "A tag of this name exists already"


class SelfMerge(RuleBroken):
    """A tag cannot take over its own items."""

    detail = "A tag cannot be merged into itself"
