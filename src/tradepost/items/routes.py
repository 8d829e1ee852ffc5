"""``/items``: putting items up for sale, finding and changing them."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import Body
from starlette.responses import Response

from tradepost.accounts.dependencies import CurrentPrincipal, Visitor
from tradepost.core.errors import InsufficientPermissions, NotOwner, Unauthenticated, Unprocessable
from tradepost.core.wire.pagination import Page, Window
from tradepost.core.wire.row_json import page_json
from tradepost.core.wire.schemas import Confirmation
from tradepost.items.dependencies import (
    Asked,
    Changes,
    Intake,
    Items,
    ItemWriter,
    Popular,
    Search,
    Searched,
    Shown,
    in_body,
    query_of,
)
from tradepost.items.errors import ItemNotFound
from tradepost.items.schemas import (
    ItemCreate,
    ItemFound,
    ItemPage,
    ItemPart,
    ItemRead,
    ItemUpdate,
    PartPage,
    SearchResults,
)
from tradepost.web.answers.json_answer import JsonAnswer, resource_answer
from tradepost.web.conditions import IfMatch, IfNoneMatch
from tradepost.web.openapi.document import CREDENTIALS_OPTIONAL
from tradepost.web.problems.documentation import problem_responses
from tradepost.web.routing.fast_path import fast_path
from tradepost.web.routing.lists import Limit, RequestScope, array_answer, list_answer
from tradepost.web.routing.parameters import PathId
from tradepost.web.routing.router import Router

router = Router(prefix="/items", tags=["items"])

ANYBODY = problem_responses(Unauthenticated)


@router.get("/", response_model=ItemPage | PartPage, responses=ANYBODY, openapi_extra=CREDENTIALS_OPTIONAL)
@fast_path
async def list_items(
    scope: RequestScope, visitor: Visitor, items: Items, query: Asked, shown: Shown
) -> Response:
    """List items; drafts and inactive ones only to their owner and to staff."""
    page, body = await items.page(query.showing(shown), visitor)
    return list_answer(body, page, scope)


# OpenAPI 3.1 has no such method.
@router.api_route("/", methods=["QUERY"], include_in_schema=False)
async def query_items(visitor: Visitor, items: Items, body: Annotated[dict[str, Any], Body()]) -> Response:
    """List items by parameters in a JSON body, for those that are too long for an address."""
    try:
        page = await items.page(await query_of(body), visitor)
    except Unprocessable as refusal:
        raise in_body(refusal) from None
    return JsonAnswer(page.body)


@router.post(
    "/",
    status_code=201,
    response_model=ItemRead,
    responses=problem_responses(Unauthenticated, InsufficientPermissions),
)
@fast_path
async def create_item(new: ItemCreate, owner: ItemWriter, intake: Intake) -> Response:
    """Put an item up for sale."""
    return resource_answer(await intake.create(new, owner), status=201)


@router.get("/popular", response_model=ItemPage, responses=ANYBODY, openapi_extra=CREDENTIALS_OPTIONAL)
async def list_popular_items(_visitor: Visitor, popular: Popular, limit: Limit = 10) -> Response:
    """List the most viewed active items; the answer may be as old as `CACHE_POPULAR_SECONDS`."""
    top = Page(await popular.top(limit), None, Window(limit=limit))
    return JsonAnswer(page_json("items", top))


@router.get(
    "/search/",
    response_model=list[ItemRead | ItemFound] | SearchResults,
    responses=ANYBODY,
    openapi_extra=CREDENTIALS_OPTIONAL,
)
async def search_items(
    scope: RequestScope, visitor: Visitor, search: Search, query: Searched, shown: Shown
) -> Response:
    """Find items by words in title, tags and description, the best first: a bare array with `X-Total-Count` and `Link`.

    `X-Total-Count-Relation: at-least` says that counting ended at 10,000. With `facets` the answer is an envelope.
    """
    found = await search.find(replace(query, listed=query.listed.showing(shown)), visitor)
    if query.facets:
        return list_answer(found.json(), found.page, scope)
    answer = array_answer(found.page, scope)
    if found.is_capped:
        answer.headers["X-Total-Count-Relation"] = "at-least"
    return answer


@router.get("/user/me", response_model=list[ItemRead | ItemPart], responses=ANYBODY)
async def list_my_items(
    scope: RequestScope, owner: CurrentPrincipal, items: Items, query: Asked, shown: Shown
) -> Response:
    """List one's own items, hidden ones too: a bare array with `X-Total-Count` and `Link`."""
    page, _ = await items.page_of_own(query.showing(shown), owner)
    return array_answer(page, scope)


@router.get(
    "/{item_id}",
    response_model=ItemRead | ItemPart,
    responses=problem_responses(Unauthenticated, ItemNotFound),
    openapi_extra=CREDENTIALS_OPTIONAL,
)
@fast_path
async def read_item(
    item_id: PathId, visitor: Visitor, items: Items, shown: Shown, known: IfNoneMatch
) -> Response:
    """Return an item and count a view."""
    return resource_answer(await items.get(item_id, visitor, shown, known), known)


CHANGES = problem_responses(Unauthenticated, InsufficientPermissions, NotOwner, ItemNotFound)


@router.put("/{item_id}", response_model=ItemRead, responses=CHANGES)
@fast_path
async def replace_item(
    item_id: PathId, changes: ItemUpdate, principal: ItemWriter, items: Changes, expected: IfMatch
) -> Response:
    """Change an item: only the fields that are sent, as with PATCH."""
    return resource_answer(await items.update(item_id, changes, principal, expected))


@router.patch("/{item_id}", response_model=ItemRead, responses=CHANGES)
@fast_path
async def update_item(
    item_id: PathId, changes: ItemUpdate, principal: ItemWriter, items: Changes, expected: IfMatch
) -> Response:
    """Change an item: only the fields that are sent."""
    return resource_answer(await items.update(item_id, changes, principal, expected))


@router.delete("/{item_id}", responses=problem_responses(Unauthenticated, NotOwner, ItemNotFound))
async def delete_item(
    item_id: PathId, principal: CurrentPrincipal, items: Changes, expected: IfMatch
) -> Confirmation:
    """Delete an item; its owner may, and staff."""
    await items.delete(item_id, principal, expected)
    return Confirmation(message="Item deleted successfully")
