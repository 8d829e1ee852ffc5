"""Categories as a tree of nodes, made from flat rows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tradepost.categories.repository import CategoryRow


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
    children: "list[CategoryNode]" = field(default_factory=list)


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
