"""``/categories``: everybody reads, admins write."""

from typing import Annotated, Any

from fastapi import Path, Query, Request
from starlette.responses import Response

from tradepost.accounts.dependencies import MayAdminister, Visitor
from tradepost.categories.dependencies import CategoryReads, CategoryWrites
from tradepost.categories.errors import (
    CategoryCycle,
    CategoryInUse,
    CategoryMoved,
    CategoryNotFound,
    CategoryTooDeep,
)
from tradepost.categories.repository import SORTS
from tradepost.categories.schemas import (
    SLUG_LENGTH,
    CategoryCreate,
    CategoryPage,
    CategoryRead,
    CategoryUpdate,
)
from tradepost.core.errors import InsufficientPermissions, Unauthenticated
from tradepost.core.wire.pagination import Window
from tradepost.core.wire.schemas import Confirmation, Id
from tradepost.web.answers.json_answer import resource_answer
from tradepost.web.conditions import IfMatch, IfNoneMatch
from tradepost.web.openapi.document import CREDENTIALS_OPTIONAL
from tradepost.web.problems.documentation import problem_responses
from tradepost.web.routing.lists import RequestScope, list_answer, sorted_window
from tradepost.web.routing.router import Router

router = Router(prefix="/categories", tags=["categories"])

Key = Annotated[
    str, Path(min_length=1, max_length=SLUG_LENGTH, description="The id, or the slug", examples=["1"])
]
AsTree = Annotated[
    bool,
    Query(
        description="Answer the whole tree: roots with nested children. `skip`, `limit` and `cursor` do not count then; `sort` "
        "orders siblings"
    ),
]
IsActive = Annotated[
    bool | None,
    Query(
        description="Only those that are active with all above them, or, for staff, only those that are switched off"
    ),
]
Counts = Annotated[
    bool, Query(description="Tell of each how many active items it and those below it have, as `items_count`")
]
MoveTo = Annotated[Id | None, Query(description="The id of the category that takes over children and items")]

READ_ERRORS = problem_responses(Unauthenticated, CategoryNotFound)
MOVED: dict[int | str, dict[str, Any]] = {
    301: {
        "description": "The slug is a former one",
        "headers": {"Location": {"description": "The category's address", "schema": {"type": "string"}}},
    }
}
UPDATE_ERRORS = problem_responses(
    Unauthenticated, InsufficientPermissions, CategoryNotFound, CategoryCycle, CategoryTooDeep
)


@router.get(
    "/",
    response_model=CategoryPage,
    responses=problem_responses(Unauthenticated),
    openapi_extra=CREDENTIALS_OPTIONAL,
)
async def list_categories(
    *,
    visitor: Visitor,
    categories: CategoryReads,
    scope: RequestScope,
    window: Annotated[Window, sorted_window(*SORTS, default="name")],
    tree: AsTree = False,
    is_active: IsActive = None,
    counts: Counts = False,
) -> Response:
    """List the categories, flat or as a tree; inactive ones, and what is below them, are for staff."""
    page, body = await categories.page(window, visitor, tree=tree, is_active=is_active, counts=counts)
    return list_answer(body, page, scope)


@router.get(
    "/{id_or_slug}",
    response_model=CategoryRead,
    responses=READ_ERRORS | MOVED,
    openapi_extra=CREDENTIALS_OPTIONAL,
)
async def read_category(
    *,
    request: Request,
    id_or_slug: Key,
    visitor: Visitor,
    categories: CategoryReads,
    known: IfNoneMatch,
    counts: Counts = False,
) -> Response:
    """Return a category with all those below it, nested. A slug from before it got another name leads to it."""
    try:
        return resource_answer(await categories.get(id_or_slug, visitor, counts=counts), known)
    except CategoryMoved as moved:
        url = request.url
        above = url.path.rstrip("/").rpartition("/")[0]
        query = url.query and f"?{url.query}"
        return Response(status_code=301, headers={"Location": f"{above}/{moved.slug}{query}"})


@router.post(
    "/",
    status_code=201,
    response_model=CategoryRead,
    responses=problem_responses(Unauthenticated, InsufficientPermissions, CategoryTooDeep),
)
async def create_category(
    category: CategoryCreate, admin: MayAdminister, categories: CategoryWrites
) -> Response:
    """Make a category; its slug is made from its name."""
    return resource_answer(await categories.create(category, by=admin), status=201)


@router.put("/{id_or_slug}", response_model=CategoryRead, responses=UPDATE_ERRORS)
@router.patch("/{id_or_slug}", response_model=CategoryRead, responses=UPDATE_ERRORS)
async def update_category(
    id_or_slug: Key,
    changes: CategoryUpdate,
    admin: MayAdminister,
    categories: CategoryWrites,
    expected: IfMatch,
) -> Response:
    """Change a category: only the fields that are sent. A new name makes a new slug, a new parent moves the subtree."""
    return resource_answer(await categories.update(id_or_slug, changes, expected, by=admin))


@router.delete(
    "/{id_or_slug}",
    responses=problem_responses(
        Unauthenticated, InsufficientPermissions, CategoryNotFound, CategoryInUse, CategoryTooDeep
    ),
)
async def delete_category(
    *,
    id_or_slug: Key,
    admin: MayAdminister,
    categories: CategoryWrites,
    expected: IfMatch,
    move_to: MoveTo = None,
) -> Confirmation:
    """Delete a category; one with children or items only if `move_to` says where they go."""
    await categories.delete(id_or_slug, expected, move_to=move_to, by=admin)
    return Confirmation(message="Category deleted successfully")
