"""Categories as a tree of nodes, made from flat rows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tradepost.categories.repository import CategoryRow
from tradepost.categories.schemas import CategoryRead
from tradepost.core.wire.representations import Representation


@dataclass(slots=True)
class CategoryNode:
    """A category with those below it."""

    id: int
    name: str
    slug: str
    description: str | None
    is_active: bool
    parent_id: int | None
    created_at: datetime
    updated_at: datetime
    version: int
    children: "list[CategoryNode]" = field(default_factory=list)


def category_shown(top: CategoryNode, sums: Mapping[int, int] | None = None) -> Representation:
    """Return a category and those below it with its entity tag: the JSON of ``CategoryRead``.

    ``sums`` has the numbers of items, where they are to be shown. The tag is made of every node, in the order in which they
    are shown: one that is moved, renamed or hidden below changes what is answered for those above.
    """
    nodes = list(_with_all_below(top))
    made_of = [f"{node.id} {node.version} {node.updated_at} {node.parent_id}" for node in nodes]
    if sums is not None:
        made_of += [str(sums.get(node.id, 0)) for node in nodes]

    def write() -> bytes:
        shown = CategoryRead.model_validate(top)
        if sums is not None:
            count_items([shown], sums)
        return shown.model_dump_json().encode()

    return Representation(top.version, "\0".join(made_of), write)


def count_items(shown: Sequence[CategoryRead], sums: Mapping[int, int]) -> None:
    """Give each of these, and those below them, the number of its items."""
    counted = list(shown)
    for category in counted:
        category.items_count = sums.get(category.id, 0)
        counted += category.children or ()


def _with_all_below(node: CategoryNode) -> Iterator[CategoryNode]:
    yield node
    for child in node.children:
        yield from _with_all_below(child)


def nested(rows: Iterable[CategoryRow]) -> dict[int, CategoryNode]:
    """Return nodes by id, each in its parent's ``children`` when the parent is there; all in the order of ``rows``."""
    nodes = {row.id: CategoryNode(*row) for row in rows}
    for node in nodes.values():
        if node.parent_id in nodes:
            nodes[node.parent_id].children.append(node)
    return nodes


def roots(rows: Iterable[CategoryRow]) -> list[CategoryNode]:
    """Return the nodes that hang on no other one of ``rows``, in their order."""
    nodes = nested(rows)
    return [node for node in nodes.values() if node.parent_id not in nodes]


def topmost(rows: Iterable[CategoryRow]) -> CategoryNode | None:
    """Return the node of a subtree that holds all others, None when there are no rows."""
    return next(iter(roots(rows)), None)


def with_descendants(numbers: Mapping[int, int], parents: Mapping[int, int | None]) -> dict[int, int]:
    """Return the number of each category together with those of all below it; ``parents`` has every category."""
    sums = dict.fromkeys(parents, 0)
    for category_id, number in numbers.items():
        above: int | None = category_id
        while above in sums:
            sums[above] += number
            above = parents[above]
    return sums
