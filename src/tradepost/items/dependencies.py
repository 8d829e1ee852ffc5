"""The dependencies of the routes of items, and the builders behind them."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, Query
from fastapi.dependencies.utils import get_dependant, request_params_to_args
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError
from starlette.datastructures import QueryParams

from tradepost.accounts.dependencies import Requires, build_user_service
from tradepost.accounts.permissions import Permission
from tradepost.categories.dependencies import build_category_service
from tradepost.categories.schemas import SLUG_LENGTH
from tradepost.core.audit.trail import AuditTrail
from tradepost.core.batching.coalescer import Observe
from tradepost.core.database.models import Money
from tradepost.core.database.replica import Replica
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import Unprocessable
from tradepost.core.idempotency.keys import IdempotencyKeys
from tradepost.core.idempotency.progress import ProgressKeeper
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.principal import Principal
from tradepost.core.resources import Resources
from tradepost.core.search.vocabulary import Vocabulary
from tradepost.core.wire.cursors import Cursors
from tradepost.core.wire.pagination import Window
from tradepost.core.wire.schemas import MAX_ID
from tradepost.core.wire.spelling import nearest
from tradepost.items.bulk import BulkItems
from tradepost.items.changing import ItemChangeService
from tradepost.items.export import ItemExport
from tradepost.items.filters import ItemFilter
from tradepost.items.indexing import ItemIndexer
from tradepost.items.intake import ItemChanges, ItemIntake
from tradepost.items.popular import PopularItems
from tradepost.items.projections import FIELDS, WHOLE, Expansion, Projection
from tradepost.items.reader import ItemReader, ListQuery
from tradepost.items.repository.facets import FACETS
from tradepost.items.repository.search_statements import BEST_FIRST
from tradepost.items.repository.statements import SORTS
from tradepost.items.schemas import ItemStatus
from tradepost.items.searching import ItemSearch, SearchQuery
from tradepost.items.service import ItemService
from tradepost.items.uploads import ItemUploads
from tradepost.items.view_counter import ViewCounter
from tradepost.media.intake import FileIntake
from tradepost.tags.dependencies import build_tag_service
from tradepost.tags.schemas import MAX_TAGS, TagName
from tradepost.web.db import resource
from tradepost.web.routing.lists import (
    Cursor,
    Limit,
    Skip,
    TotalQuery,
    sort_query,
    sorted_window,
    window_of,
)
from tradepost.web.routing.query_names import no_parameters


def _some_words(q: str) -> str:
    if q.isspace():
        raise PydanticCustomError("blank", "There is nothing but spaces to look for")
    return q


NEWEST: Final = "-created_at"
"""The order of a list unless another is asked for."""
Sort = sort_query(*SORTS)
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
        description='Words that are all in title, tags or description; the last one may be only begun. `"…"` is a '
        "phrase, `-word` excludes one. Case and accents do not matter, and a letter may be wrong",
        examples=["lamp"],
    ),
    AfterValidator(_some_words),
]
StatusFilter = Annotated[ItemStatus | None, Query(description="Only items of this status")]
InCategory = Annotated[
    str | None,
    Query(min_length=1, max_length=SLUG_LENGTH, description="An id or a slug; its descendants count too"),
]
WithTags = Annotated[list[TagName] | None, Query(max_length=MAX_TAGS, description="Repeated: all of them")]
OwnerId = Annotated[int | None, Query(ge=1, le=MAX_ID, description="Only items that this person sells")]


async def item_filter(
    *,
    status_filter: StatusFilter = None,
    category: InCategory = None,
    tag: WithTags = None,
    owner_id: OwnerId = None,
    min_price: MinPrice = None,
    max_price: MaxPrice = None,
    q: Words | None = None,
) -> ItemFilter:
    """Return which items a query string asks for; ``Unprocessable`` for a range of prices that holds none."""
    if min_price is not None and max_price is not None and min_price > max_price:
        raise Unprocessable(("query", "min_price"), "min_price must not be more than max_price")
    return ItemFilter(
        status=status_filter,
        category=category,
        tags=tuple(tag or ()),
        owner_id=owner_id,
        min_price=min_price,
        max_price=max_price,
        q=q,
    )


Wanted = Annotated[ItemFilter, Depends(item_filter)]
_item_window = sorted_window(*SORTS, default=NEWEST)


async def list_query(window: Annotated[Window, _item_window], wanted: Wanted) -> ListQuery:
    """Return which items a query string asks for, and which part of the list."""
    return ListQuery(wanted, window)


def _known_fields(value: str) -> str:
    names = value.split(",")
    for number, name in enumerate(names, 1):
        if name not in FIELDS:
            meant = nearest(name, FIELDS)
            advice = "" if meant is None else f"; did you mean {meant}?"
            raise PydanticCustomError("field", f"Name {number} is no field of an item{advice}")
    return value


_ONE_FIELD: Final = f"(?:{'|'.join(FIELDS)})"
Fields = Annotated[
    str | None,
    AfterValidator(lambda value: value and _known_fields(value)),
    Query(
        description="Only these fields of each item, by commas; whatever is not asked for is not read either",
        json_schema_extra={"pattern": f"^{_ONE_FIELD}(?:,{_ONE_FIELD})*$"},
    ),
]
Expand = Annotated[
    Literal["category"] | None,
    Query(
        description="Add the category of each item as `category`; `null` where it has none that one may see"
    ),
]


async def projection_query(fields: Fields = None, expand: Expand = None) -> Projection:
    """Return what a query string wants to be shown of each item."""
    if fields is None and expand is None:
        return WHOLE
    return Projection(
        None if fields is None else frozenset(fields.split(",")),
        Expansion.NONE if expand is None else Expansion.SHOWN,
    )


Asked = Annotated[ListQuery, Depends(list_query)]
Shown = Annotated[Projection, Depends(projection_query)]


def _known_facets(value: str) -> str:
    if not set(value.split(",")) <= FACETS:
        raise PydanticCustomError("facets", "Facets are category, tag and price, several by commas")
    return value


FacetNames = Annotated[
    str | None,
    AfterValidator(lambda value: value and _known_facets(value)),
    Query(
        description="Answer an envelope with how the best 10,000 results are spread: category, tag, price, by commas",
        json_schema_extra={"pattern": "^(?:category|tag|price)(?:,(?:category|tag|price))*$"},
    ),
]
Highlight = Annotated[
    bool,
    Query(description="Add `highlights`: title and description as HTML, with `<mark>` around what was found"),
]


async def search_query(
    *,
    q: Words,
    skip: Skip = None,
    limit: Limit = 100,
    cursor: Cursor = None,
    total: TotalQuery = None,
    sort: Sort | None = None,  # type: ignore[valid-type]
    status_filter: StatusFilter = None,
    category: InCategory = None,
    tag: WithTags = None,
    owner_id: OwnerId = None,
    min_price: MinPrice = None,
    max_price: MaxPrice = None,
    highlight: Highlight = False,
    facets: FacetNames = None,
) -> SearchQuery:
    """Return what a query string searches for."""
    wanted = await item_filter(
        status_filter=status_filter,
        category=category,
        tag=tag,
        owner_id=owner_id,
        min_price=min_price,
        max_price=max_price,
        q=q,
    )
    window = window_of(skip=skip, limit=limit, cursor=cursor, total=total, sort=sort or BEST_FIRST)
    return SearchQuery(
        ListQuery(wanted, window), highlight, tuple(dict.fromkeys(facets.split(","))) if facets else ()
    )


Searched = Annotated[SearchQuery, Depends(search_query)]


def build_item_service(db: WriteSession, resources: Resources) -> ItemService:
    """Build the service for changing items."""
    return ItemService(
        db,
        users=build_user_service(db, resources),
        tags=build_tag_service(db, resources),
        categories=build_category_service(db, resources),
        popular=resources[PopularItems],
        vocabulary=resources[Vocabulary],
        outbox=resources[Outbox],
        clock=resources.clock,
    )


def build_item_change_service(db: WriteSession, resources: Resources) -> ItemChangeService:
    """Build the service for changing and deleting items."""
    return ItemChangeService(
        db,
        tags=build_tag_service(db, resources),
        categories=build_category_service(db, resources),
        popular=resources[PopularItems],
        vocabulary=resources[Vocabulary],
        outbox=resources[Outbox],
        audit=resources[AuditTrail],
        clock=resources.clock,
    )


def build_item_uploads(resources: Resources, *, observe: Observe) -> ItemUploads:
    """Build the service for items' pictures and documents; ``observe`` is told how many uploads are kept at once."""
    return ItemUploads(
        resources.database,
        resources[FileIntake],
        reader=resources[ItemReader],
        people=partial(build_user_service, resources=resources),
        items=partial(build_item_service, resources=resources),
        observe=observe,
    )


def open_items(resources: Resources) -> None:
    """Put in what items keep for the life of the process; needs the outbox and the intake of files."""
    database, clock, observer = resources.database, resources.clock, resources.batch_observer
    replica = resources.find(Replica)
    resources.put(ItemIndexer, ItemIndexer(database, resources[Vocabulary]))
    resources.put(
        PopularItems, PopularItems(database, clock, seconds=resources.settings.CACHE_POPULAR_SECONDS)
    )
    resources.put(ViewCounter, ViewCounter(database, resources.clock))
    resources.put(
        ItemReader,
        ItemReader(
            database,
            views=resources[ViewCounter],
            cursors=resources[Cursors],
            replica=replica,
            observe=observer("item"),
        ),
    )
    resources.put(ItemSearch, ItemSearch(database, resources[Cursors], replica=replica))
    services = partial(build_item_service, resources=resources)
    keys = resources[IdempotencyKeys]
    resources.put(ItemIntake, ItemIntake(database, keys, items=services, observe=observer("new items")))
    changing = partial(build_item_change_service, resources=resources)
    resources.put(ItemChanges, ItemChanges(database, items=changing, observe=observer))
    resources.put(BulkItems, BulkItems(database, resources[ProgressKeeper], items=services))
    resources.put(ItemExport, ItemExport(database, replica=replica))
    resources.put(ItemUploads, build_item_uploads(resources, observe=observer("uploads")))


Items = Annotated[ItemReader, resource(ItemReader)]
Search = Annotated[ItemSearch, resource(ItemSearch)]
Changes = Annotated[ItemChanges, resource(ItemChanges)]
Intake = Annotated[ItemIntake, resource(ItemIntake)]
Popular = Annotated[PopularItems, resource(PopularItems)]
ItemWriter = Annotated[Principal, Depends(Requires(Permission.WRITE_ITEMS))]
Bulk = Annotated[BulkItems, resource(BulkItems)]
Exports = Annotated[ItemExport, resource(ItemExport)]
Uploads = Annotated[ItemUploads, resource(ItemUploads)]


# The list's parameters as a JSON body (QUERY, RFC 10008). They are read by the very functions that read a query string: a rule
# of one is a rule of the other.

_READERS: Final[Sequence[Any]] = (_item_window.dependency, item_filter, projection_query)
_PARAMETERS: Final = [get_dependant(path="/", call=reader).query_params for reader in _READERS]
_NAMES: Final = [field.alias for fields in _PARAMETERS for field in fields]
_BY_COMMAS: Final = frozenset({"sort", "fields"})
_REPEATED: Final = "tag"


async def query_of(body: Mapping[str, Any]) -> ListQuery:
    """Return which items a body asks for, which part of the list, and what is to be shown of each."""
    if unknown := [name for name in body if name not in _NAMES]:
        raise no_parameters("body", unknown, _NAMES)
    sent = QueryParams([pair for name, value in body.items() for pair in _pairs(name, value)])
    found = [request_params_to_args(fields, sent) for fields in _PARAMETERS]
    errors = [error for _, errors in found for error in errors]
    if errors:
        raise RequestValidationError([{**error, "loc": ("body", *error["loc"][1:])} for error in errors])
    window, wanted, shown = [
        await reader(**arguments) for reader, (arguments, _) in zip(_READERS, found, strict=True)
    ]
    return ListQuery(wanted, window, shown)


def in_body(refusal: Unprocessable) -> Unprocessable:
    """Return a refusal of a parameter as one of a field of the body."""
    for error in refusal.errors:
        if error["location"][:1] == ["query"]:
            error["location"][0] = "body"
    return refusal


def _pairs(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield what a query string would have; null and an empty text are as good as not sent."""
    values = value if isinstance(value, list) else [value]
    if isinstance(value, list) and name not in {_REPEATED, *_BY_COMMAS}:
        raise Unprocessable(("body", name), "Input should be one value", kind="one_value")
    texts = [_text(name, one) for one in values if one is not None]
    if name in _BY_COMMAS:
        texts = [",".join(texts)]
    yield from ((name, text) for text in texts if text)


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise Unprocessable(("body", name), "Input should be a text or a number", kind="text_or_number")
