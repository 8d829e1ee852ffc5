"""What all lists have in common: the parameters of their windows, their orders, and the links between their pages.

A list of a few hundred rows takes ``PlainWindow`` or ``SortedWindow`` and reads its page through ``ListPages``, which
verifies the cursor, signs the next one and adds ``Link``. A list with a reader does the three steps where it renders.
"""

import re
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, Query, params
from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError
from starlette.datastructures import URL
from starlette.responses import Response
from starlette.types import Scope

from tradepost.core.errors import Unprocessable
from tradepost.core.wire.cursors import LONGEST, Cursors
from tradepost.core.wire.pagination import Page, Total, Window
from tradepost.web.answers.json_answer import JsonAnswer
from tradepost.web.asgi_scope import REQUEST_HEADERS_KEY, FromScope, add_header

T = TypeVar("T")

MAX_SKIP: Final = 2**63 - 1024
"""So that neither a page's number nor ``skip + limit`` is past 2^63 - 1; the largest such that a float can hold, as which
FastAPI writes it into the OpenAPI."""

Skip = Annotated[
    int | None,
    Query(ge=0, le=MAX_SKIP, description="How many to leave out from the start; not together with `cursor`"),
]
Limit = Annotated[int, Query(ge=1, le=100, description="How many to answer at the most")]
Cursor = Annotated[
    str | None,
    Query(
        max_length=LONGEST,
        description="The `next_cursor` of an answer with the same filters and the same order: what follows it",
    ),
]


def _read_total(value: Any) -> Any:
    """Read the other spelling of an exact total."""
    return Total.EXACT if value == "true" else value


TotalQuery = Annotated[
    Total | None,
    BeforeValidator(_read_total),
    Query(
        alias="total",
        description="`exact` (or `true`), `estimated` by the planner, or `false` for none; unless sent it is exact, "
        "and none with a cursor",
    ),
]


def window_of(
    *, skip: int | None, limit: int, cursor: str | None, total: Total | None, sort: str = "id"
) -> Window:
    """Return the window that these parameters ask for; ``Unprocessable`` for both a ``skip`` and a ``cursor``."""
    if skip is not None and cursor is not None:
        raise Unprocessable(("query", "skip"), "skip and cursor do not go together", kind="skip_with_cursor")
    return Window(skip or 0, limit, total or (Total.EXACT if cursor is None else Total.NONE), sort, cursor)


def sort_query(*fields: str) -> Any:
    """Return the type of the parameter ``sort`` of a list that may be ordered by these fields."""
    one = f"-?(?:{'|'.join(fields)})"
    pattern = f"^{one}(?:,{one}){{0,{len(fields) - 1}}}$"
    matches = re.compile(pattern).fullmatch
    rule = f"Sort by {', '.join(fields)}: several by commas, - before one for descending"

    def check(value: str) -> str:
        if not matches(value):
            raise PydanticCustomError("sort", rule)
        return value

    return Annotated[
        str,
        AfterValidator(check),
        Query(
            description=f"{rule}; a field that is named twice counts where it is first. Ties go by id",
            json_schema_extra={"pattern": pattern},
        ),
    ]


async def _plain_window(
    skip: Skip = None, limit: Limit = 100, cursor: Cursor = None, total: TotalQuery = None
) -> Window:
    return window_of(skip=skip, limit=limit, cursor=cursor, total=total)


PlainWindow = Annotated[Window, Depends(_plain_window)]
"""The window of a list that has one order."""


async def _uncounted_window(
    skip: Skip = None, limit: Limit = 100, cursor: Cursor = None, total: TotalQuery = None
) -> Window:
    return window_of(skip=skip, limit=limit, cursor=cursor, total=total or Total.NONE)


UncountedWindow = Annotated[Window, Depends(_uncounted_window)]
"""The window of a list that has one order, and is so long that it is counted only when somebody asks for the total."""


def sorted_window(*fields: str, default: str) -> params.Depends:
    """Return the dependency on the window of a list that may be ordered by these fields."""
    sort_type = sort_query(*fields)

    async def read(
        skip: Skip = None,
        limit: Limit = 100,
        cursor: Cursor = None,
        total: TotalQuery = None,
        sort: sort_type = default,  # type: ignore[valid-type]
    ) -> Window:
        return window_of(skip=skip, limit=limit, cursor=cursor, total=total, sort=sort)

    return params.Depends(read)


LINK: Final[dict[str, Any]] = {
    "Link": {
        "description": "Addresses of other parts of the list (RFC 8288): `next` unless it ends here, `first` elsewhere",
        "schema": {"type": "string"},
        "example": '<https://example.com/api/v1/items/?limit=20&cursor=AbC>; rel="next"',
    },
}
ARRAY_HEADERS: Final[dict[str, Any]] = {
    "X-Total-Count": {
        "description": "How many there are in all; not with `total=false`, nor with a cursor unless asked for",
        "schema": {"type": "integer", "minimum": 0},
    },
    "Link": {
        "description": "Addresses of other parts of the list (RFC 8288): `next` unless it ends here, `first` elsewhere, "
        "and `prev` and `last` with `skip`",
        "schema": {"type": "string"},
        "example": '<https://example.com/api/v1/items/user/me?limit=100&cursor=AbC>; rel="next"',
    },
}
"""What the OpenAPI says of the headers of a bare array, and ``LINK`` of any other list; ``web.openapi`` puts them there."""


@lru_cache(maxsize=1_024)
def _stem(scheme: str, host: bytes, path: str, query: bytes) -> str:
    """Return the address of a list without its place in it, ready for one more parameter."""
    scope = {"scheme": scheme, "path": path, "query_string": query, "headers": [(b"host", host)]}
    address = URL(scope=scope).remove_query_params(("skip", "cursor"))
    return f"{address}{'&' if address.query else '?'}"


_LONGEST_CACHED: Final = 1_024


def _stem_of(scope: Scope) -> str:
    query: bytes = scope["query_string"]
    headers = scope.get(REQUEST_HEADERS_KEY) or dict(scope["headers"])
    stem = _stem if len(query) <= _LONGEST_CACHED else _stem.__wrapped__
    return stem(scope["scheme"], headers.get(b"host", b""), scope["path"], query)


def link_of(scope: Scope, page: Page[Any]) -> str | None:
    """Return the ``Link`` header of a page: the next one by cursor, and the first one where this is another."""
    is_first = page.window.after is None and page.window.skip == 0
    if page.next_cursor is None and is_first:
        return None
    stem = _stem_of(scope)
    links = [] if page.next_cursor is None else [f'<{stem}cursor={page.next_cursor}>; rel="next"']
    if not is_first:
        links.append(f'<{stem[:-1]}>; rel="first"')
    return ", ".join(links)


def list_answer(body: bytes, page: Page[Any], scope: Scope) -> Response:
    """Return the envelope of a list, which is JSON already, with the links of its page."""
    link = link_of(scope, page)
    return JsonAnswer(body, headers=None if link is None else {"Link": link})


def add_links(scope: Scope, page: Page[Any]) -> None:
    """Have the answer of this request carry the links of its page."""
    link = link_of(scope, page)
    if link is not None:
        add_header(scope, b"link", link.encode("latin-1"))


def array_answer(page: Page[bytes], scope: Scope) -> Response:
    """Return a bare array of rows that are JSON already, with ``X-Total-Count`` and ``Link`` (RFC 8288)."""
    headers = {} if page.total is None else {"X-Total-Count": str(page.total)}
    links = [link_of(scope, page)]
    if page.window.after is None:
        skip, limit, stem = page.window.skip, page.window.limit, _stem_of(scope)
        if skip > 0:
            links.append(f'<{stem}skip={max(0, skip - limit)}>; rel="prev"')
        if page.total:
            links.append(f'<{stem}skip={(page.total - 1) // limit * limit}>; rel="last"')
    if any(links):
        headers["Link"] = ", ".join(filter(None, links))
    return JsonAnswer(b"[" + b",".join(page.rows) + b"]", headers=headers)


class _Pages:
    """Reads the page that a request asks for."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._cursors: Cursors = scope["state"]["resources"][Cursors]

    async def read(self, scope: str, window: Window, read: Callable[[Window], Awaitable[Page[T]]]) -> Page[T]:
        """Return the page of the list ``scope`` that ``read`` reads, and add its links to the answer."""
        page = await self._cursors.page(scope, window, read)
        add_links(self._scope, page)
        return page


def _pages(scope: Scope) -> _Pages:
    return _Pages(scope)


ListPages = Annotated[_Pages, Depends(FromScope(_pages))]


def _scope(scope: Scope) -> Scope:
    return scope


RequestScope = Annotated[Any, Depends(FromScope(_scope))]
"""The ASGI scope of the request, for the links of a list on the fast path."""
