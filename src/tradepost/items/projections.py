"""Projections: which fields of an item an answer shows, the columns that they need, and their JSON.

Nothing is read for a field that nobody asked for: no owner is joined, no tag looked up.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Any, Final

from tradepost.core.wire.representations import Representation
from tradepost.core.wire.row_json import to_json
from tradepost.items.schemas import BESIDES_VERSION, ItemRead, ItemRow, total_price

FIELDS: Final = tuple(ItemRead.model_fields)
"""The fields of an item, in the order in which they are answered."""

_NEEDS: Final[Mapping[str, frozenset[str]]] = {
    "total_price": frozenset({"price", "discount_price", "tax"}),
    "owner": frozenset({"owner_id", "owner_first_name", "owner_last_name", "owner_avatar_url"}),
}
"""The columns of those fields that are no columns themselves."""
CATEGORY: Final = ("name", "slug", "description", "is_active", "parent_id", "created_at", "updated_at")
"""The columns of an item's category, read as ``category_name`` and so on."""


class Expansion(Enum):
    """Which categories are added to items that are in them."""

    NONE = auto()
    SHOWN = auto()
    """Those that everybody sees."""
    ALL = auto()


@dataclass(frozen=True, slots=True)
class Projection:
    """The fields that an answer shows, None for all of them, and whether it adds the category."""

    fields: frozenset[str] | None = None
    category: Expansion = Expansion.NONE

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of ``ItemRow`` that are needed."""
        if self.fields is None:
            return ItemRow._fields
        needed = {column for field in self.fields for column in _NEEDS.get(field, (field,))}
        return tuple(name for name in ItemRow._fields if name in needed)

    def shown(self, row: Any) -> Representation:
        """Return a row that has the ``columns``, the version and its time, with its entity tag."""
        columns = dict.fromkeys(("updated_at", *self.columns))
        parts = [getattr(row, name) for name in BESIDES_VERSION if name in columns]
        if self.category is not Expansion.NONE:
            parts += [row.shown_category_id, *(getattr(row, f"category_{name}") for name in CATEGORY)]
        names = ",".join(sorted(self.fields or FIELDS))
        made_of = "\0".join(map(str, (names, self.category is Expansion.NONE, *parts)))
        return Representation(row.version, made_of, partial(self.json, row))

    def json(self, row: Any) -> bytes:
        """Return the JSON of a row that has the ``columns``."""
        shown = {name: _SHOWN[name](row) for name in FIELDS if self.fields is None or name in self.fields}
        if self.category is not Expansion.NONE:
            shown["category"] = _category(row)
        return to_json(shown)


WHOLE: Final = Projection()
"""Every field of an item, and nothing else."""


def _owner(row: Any) -> dict[str, Any]:
    return {
        "id": row.owner_id,
        "first_name": row.owner_first_name,
        "last_name": row.owner_last_name,
        "full_name": f"{row.owner_first_name} {row.owner_last_name}",
        "avatar_url": row.owner_avatar_url,
    }


def _category(row: Any) -> dict[str, Any] | None:
    """Return the category as flat lists show it, None where there is none or the visitor may not see it."""
    if row.category_name is None:
        return None
    values = {name: getattr(row, f"category_{name}") for name in CATEGORY}
    times = {name: values.pop(name) for name in ("created_at", "updated_at")}
    return {"id": row.shown_category_id, **values, "children": None, **times}


def _amount(name: str) -> Callable[[Any], float | None]:
    def read(row: Any) -> float | None:
        amount = getattr(row, name)
        return None if amount is None else float(amount)

    return read


def _plain(name: str) -> Callable[[Any], Any]:
    return lambda row: getattr(row, name)


_SHOWN: Final[Mapping[str, Callable[[Any], Any]]] = {
    **{name: _plain(name) for name in FIELDS},
    **{name: _amount(name) for name in ("price", "discount_price", "tax")},
    "total_price": lambda row: float(total_price(row.price, row.discount_price, row.tax)),
    "owner": _owner,
}
