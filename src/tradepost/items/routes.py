"""``/items``: putting items up for sale, finding and changing them."""

from decimal import Decimal
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field, WithJsonSchema
from starlette.responses import Response

from tradepost.accounts.dependencies import CurrentPrincipal, Visitor
from tradepost.categories.schemas import SLUG_LENGTH
from tradepost.core.database.models import Money
from tradepost.core.errors import InsufficientPermissions, NotOwner, Unauthenticated, Unprocessable
from tradepost.core.wire.pagination import Page, Total, Window
from tradepost.core.wire.row_json import page_json
from tradepost.core.wire.schemas import MAX_ID, Confirmation
from tradepost.items.dependencies import (
    Intake,
    Items,
    ItemWriter,
    ItemWrites,
    Popular,
)
from tradepost.items.errors import ItemNotFound
from tradepost.items.filters import ItemFilter
from tradepost.items.repository.statements import SORTS
from tradepost.items.schemas import ItemCreate, ItemPage, ItemRead, ItemStatus, ItemUpdate
from tradepost.tags.schemas import MAX_TAGS, TagName
from tradepost.web.answers.json_answer import JsonAnswer
from tradepost.web.openapi.document import CREDENTIALS_OPTIONAL
from tradepost.web.problems.documentation import problem_responses
from tradepost.web.routing.fast_path import fast_path
from tradepost.web.routing.parameters import Limit, PathId, Skip, TotalQuery, array_answer, sorts
from tradepost.web.routing.route import Route

router = APIRouter(prefix="/items", tags=["items"], route_class=Route)

ItemSort = sorts("ItemSort", *SORTS)
NEWEST = ItemSort("-created_at")
Sort = Annotated[ItemSort, Query(description="The order; ties go by id")]  # type: ignore[valid-type]
Amount = Annotated[
    Decimal,
    Field(ge=0, max_digits=Money.precision, decimal_places=2, allow_inf_nan=False),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": float(Money.highest)}),
]
MinPrice = Annotated[Amount | None, Query(description="Only items of this price and above; two decimals")]
MaxPrice = Annotated[Amount | None, Query(description="Only items of this price and below; two decimals")]
Words = Annotated[
    str,
    Query(
        min_length=1,
        max_length=200,
        description="Letters to look for; `%` and `_` are letters too",
        examples=["lamp"],
    ),
]
StatusFilter = Annotated[ItemStatus | None, Query(description="Only items of this status")]
OwnerId = Annotated[int | None, Query(ge=1, le=MAX_ID, description="Only items that this person sells")]
ANYBODY = problem_responses(Unauthenticated)


class ListQuery(NamedTuple):
    """Which items are wanted, and which part of the list."""

    wanted: ItemFilter
    window: Window


def _check_prices(low: Decimal | None, high: Decimal | None) -> None:
    if low is not None and high is not None and low > high:
        raise Unprocessable(("query", "min_price"), "min_price must not be more than max_price")


async def list_query(
    *,
    skip: Skip = 0,
    limit: Limit = 100,
    total: TotalQuery = Total.EXACT,
    sort: Sort = NEWEST,
    status_filter: StatusFilter = None,
    category: Annotated[
        str | None,
        Query(min_length=1, max_length=SLUG_LENGTH, description="An id or a slug; its descendants count too"),
    ] = None,
    tag: Annotated[
        list[TagName] | None, Query(max_length=MAX_TAGS, description="Repeated: all of them")
    ] = None,
    owner_id: OwnerId = None,
    min_price: MinPrice = None,
    max_price: MaxPrice = None,
    q: Words | None = None,
) -> ListQuery:
    """Return which items a query string asks for, and which part of the list."""
    _check_prices(min_price, max_price)
    wanted = ItemFilter(
        status=status_filter,
        category=category,
        tags=tuple(tag or ()),
        owner_id=owner_id,
        min_price=min_price,
        max_price=max_price,
        q=q,
    )
    return ListQuery(wanted, Window(skip, limit, total, str(sort)))


@router.get("/", response_model=ItemPage, responses=ANYBODY, openapi_extra=CREDENTIALS_OPTIONAL)
@fast_path
async def list_items(
    visitor: Visitor, items: Items, query: Annotated[ListQuery, Depends(list_query)]
) -> Response:
    """List items; drafts and inactive ones only to their owner and to staff."""
    return JsonAnswer(page_json("items", await items.page(query.wanted, query.window, visitor)))


@router.post(
    "/",
    status_code=201,
    response_model=ItemRead,
    responses=problem_responses(Unauthenticated, InsufficientPermissions),
)
@fast_path
async def create_item(new: ItemCreate, owner: ItemWriter, intake: Intake) -> Response:
    """Put an item up for sale."""
    return JsonAnswer(await intake.create(new, owner), 201)


@router.get("/popular", response_model=ItemPage, responses=ANYBODY, openapi_extra=CREDENTIALS_OPTIONAL)
async def list_popular_items(_visitor: Visitor, popular: Popular, limit: Limit = 10) -> Response:
    """List the most viewed active items; the answer may be as old as `CACHE_POPULAR_SECONDS`."""
    top = Page(await popular.top(limit), None, Window(limit=limit))
    return JsonAnswer(page_json("items", top))


@router.get("/search/", response_model=list[ItemRead], responses=ANYBODY, openapi_extra=CREDENTIALS_OPTIONAL)
async def search_items(
    *,
    request: Request,
    visitor: Visitor,
    items: Items,
    q: Words,
    skip: Skip = 0,
    limit: Limit = 100,
    total: TotalQuery = Total.EXACT,
    min_price: MinPrice = None,
    max_price: MaxPrice = None,
) -> Response:
    """Find items by words in title, description or tags: a bare array with `X-Total-Count` and `Link`."""
    _check_prices(min_price, max_price)
    wanted = ItemFilter(min_price=min_price, max_price=max_price, q=q)
    page = await items.page(wanted, Window(skip, limit, total, str(NEWEST)), visitor)
    return array_answer(page, request)


@router.get("/user/me", response_model=list[ItemRead], responses=ANYBODY)
async def list_my_items(
    *,
    request: Request,
    owner: CurrentPrincipal,
    items: Items,
    skip: Skip = 0,
    limit: Limit = 100,
    total: TotalQuery = Total.EXACT,
    sort: Sort = NEWEST,
) -> Response:
    """List one's own items, hidden ones too: a bare array with `X-Total-Count` and `Link`."""
    page = await items.page_of_own(owner, Window(skip, limit, total, str(sort)))
    return array_answer(page, request)


@router.get(
    "/{item_id}",
    response_model=ItemRead,
    responses=problem_responses(Unauthenticated, ItemNotFound),
    openapi_extra=CREDENTIALS_OPTIONAL,
)
@fast_path
async def read_item(item_id: PathId, visitor: Visitor, items: Items) -> Response:
    """Return an item and count a view."""
    return JsonAnswer(await items.get(item_id, visitor))


CHANGES = problem_responses(Unauthenticated, InsufficientPermissions, NotOwner, ItemNotFound)


@router.put("/{item_id}", response_model=ItemRead, responses=CHANGES)
async def replace_item(
    item_id: PathId, changes: ItemUpdate, principal: ItemWriter, items: ItemWrites
) -> Response:
    """Change an item: only the fields that are sent, as with PATCH."""
    return JsonAnswer(await items.update(item_id, changes, principal))


@router.patch("/{item_id}", response_model=ItemRead, responses=CHANGES)
async def update_item(
    item_id: PathId, changes: ItemUpdate, principal: ItemWriter, items: ItemWrites
) -> Response:
    """Change an item: only the fields that are sent."""
    return JsonAnswer(await items.update(item_id, changes, principal))


@router.delete("/{item_id}", responses=problem_responses(Unauthenticated, NotOwner, ItemNotFound))
async def delete_item(item_id: PathId, principal: CurrentPrincipal, items: ItemWrites) -> Confirmation:
    """Delete an item; its owner may, and staff."""
    await items.delete(item_id, principal)
    return Confirmation(message="Item deleted successfully")
