"""Parameters that many routes take: ids in the path, the window of a list, and the links of a bare array."""

import re
from enum import StrEnum
from typing import Annotated, Any, Final, cast

from fastapi import Path, Query, Request
from pydantic import BeforeValidator
from pydantic_core import PydanticKnownError
from starlette.responses import Response

from tradepost.core.wire.pagination import Page, Total
from tradepost.core.wire.schemas import MAX_ID
from tradepost.web.answers.json_answer import JsonAnswer

MAX_SKIP: Final = 2**63 - 1024
"""So that neither a page's number nor ``skip + limit`` is past 2^63 - 1; the largest such that a float can hold, as which
FastAPI writes it into the OpenAPI."""

_INTEGER: Final = re.compile(r"-?[0-9]+")


def _plain_integer(value: Any) -> Any:
    # pydantic reads `1_0`, `1.0` and ` 1` too, which would give every resource many addresses.
    if isinstance(value, str) and not _INTEGER.fullmatch(value):
        raise PydanticKnownError("int_parsing")
    return value


PLAIN_INTEGER: Final = BeforeValidator(_plain_integer)
"""Has an integer written in one way only; by it the fast path knows a ``PathId``."""
PathId = Annotated[int, Path(ge=1, le=MAX_ID), PLAIN_INTEGER]
Skip = Annotated[int, Query(ge=0, le=MAX_SKIP, description="How many to leave out from the start")]
Limit = Annotated[int, Query(ge=1, le=100, description="How many to answer at the most")]


def read_total(value: Any) -> Any:
    """Read the other spelling of an exact total."""
    return Total.EXACT if value == "true" else value


ARRAY_HEADERS: Final[dict[str, Any]] = {
    "X-Total-Count": {
        "description": "How many there are in all; not with `total=false`",
        "schema": {"type": "integer", "minimum": 0},
    },
    "Link": {
        "description": "Addresses of other parts of the list: `next`, `prev`, `first`, `last` (RFC 8288)",
        "schema": {"type": "string"},
        "example": '<https://example.com/api/v1/items/user/me?skip=100&limit=100>; rel="next"',
    },
}
"""What the OpenAPI says of the headers of ``array_answer``; ``web.openapi`` puts it where an array has a ``skip``."""

TotalQuery = Annotated[
    Total,
    BeforeValidator(read_total),
    Query(alias="total", description="`exact` (or `true`), `estimated` by the planner, or `false` for none"),
]


def sorts(name: str, *fields: str) -> type[StrEnum]:
    """Return an enumeration of the orders a list allows: each field, and each with ``-`` for descending."""
    members = {f"{sign}{field}": f"{sign}{field}" for field in fields for sign in ("", "-")}
    return cast("type[StrEnum]", StrEnum(name, members))


def array_answer(page: Page[bytes], request: Request) -> Response:
    """Return a bare array of rows that are JSON already, with ``X-Total-Count`` and ``Link`` (RFC 8288)."""
    skip, limit = page.window.skip, page.window.limit
    headers = {} if page.total is None else {"X-Total-Count": str(page.total)}
    links = []
    more = len(page.rows) == limit if page.total is None else skip + limit < page.total
    if more:
        links.append(("next", skip + limit))
    if skip > 0:
        links.append(("prev", max(0, skip - limit)))
        links.append(("first", 0))
    if page.total:
        links.append(("last", (page.total - 1) // limit * limit))
    if links:
        here = request.url
        headers["Link"] = ", ".join(
            f'<{here.include_query_params(skip=start, limit=limit)}>; rel="{relation}"'
            for relation, start in links
        )
    return JsonAnswer(b"[" + b",".join(page.rows) + b"]", headers=headers)
