"""Fast JSON of rows: the bytes that a pydantic model would write, without building the model."""

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any, Final, NamedTuple

from pydantic import BaseModel
from pydantic_core import SchemaSerializer, core_schema

from tradepost.core.wire.pagination import Page

to_json: Final = SchemaSerializer(core_schema.any_schema()).to_json
"""pydantic's ``to_json``, whose settings are made ready once: two thirds of its cost."""


def row_encoder(model: type[BaseModel]) -> Callable[[Mapping[str, Any]], bytes]:
    """Return a function from a dictionary with the fields of ``model`` to JSON, in the order of the model.

    Nothing is checked or converted: it is for rows, which the database kept valid. A third of the cost of making the
    model first. A dictionary of a model within it must be in that one's order already.
    """
    fields = tuple(model.model_fields)
    in_order = itemgetter(*fields)

    def encode(row: Mapping[str, Any]) -> bytes:
        # A dictionary is written in its own order, and rows come in that of their columns: the same item would be other
        # bytes in the answer to a POST than in the one to a GET.
        return to_json(dict(zip(fields, in_order(row), strict=False)))

    return encode


class RenderedPage(NamedTuple):
    """A page, for its links, and the envelope of it as JSON."""

    page: Page[Any]
    body: bytes


def page_json(name: str, page: Page[bytes]) -> bytes:
    """Return the envelope of a list whose rows are JSON already; ``name`` is the field that holds them."""
    info = page.info
    cursor = info.pop("next_cursor")
    info["next_cursor"] = None if cursor is None else f'"{cursor}"'  # nothing in it needs escaping
    fields = ",".join(f'"{field}":{"null" if value is None else value}' for field, value in info.items())
    return b'{"%s":[%s],%s}' % (name.encode(), b",".join(page.rows), fields.encode())
