"""``/tags``: everybody reads, staff write."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from tradepost.accounts.dependencies import Visitor
from tradepost.core.errors import InsufficientPermissions, Unauthenticated
from tradepost.core.wire.pagination import Window
from tradepost.core.wire.schemas import Confirmation
from tradepost.tags.dependencies import Staff, TagReads, TagWrites
from tradepost.tags.errors import SelfMerge, TagExists, TagNotFound
from tradepost.tags.repository import BY_NUMBER, SORTS
from tradepost.tags.schemas import TagCreate, TagMerge, TagPage, TagRead, TagUpdate
from tradepost.web.answers.json_answer import resource_answer
from tradepost.web.conditions import IfMatch, IfNoneMatch
from tradepost.web.openapi.document import CREDENTIALS_OPTIONAL
from tradepost.web.problems.documentation import problem_responses
from tradepost.web.routing.lists import RequestScope, list_answer, sorted_window
from tradepost.web.routing.parameters import PathId
from tradepost.web.routing.router import Router

router = Router(prefix="/tags", tags=["tags"])

Containing = Annotated[
    str, Query(alias="q", max_length=100, description="A part of the name; case and spacing do not matter")
]


@router.get(
    "/",
    response_model=TagPage,
    responses=problem_responses(Unauthenticated),
    openapi_extra=CREDENTIALS_OPTIONAL,
)
async def list_tags(
    *,
    _visitor: Visitor,
    tags: TagReads,
    scope: RequestScope,
    window: Annotated[Window, sorted_window(*SORTS, BY_NUMBER, default="name")],
    containing: Containing = "",
) -> Response:
    """List all tags, or those whose names contain a text."""
    page, body = await tags.page(window, containing=containing)
    return list_answer(body, page, scope)


@router.get(
    "/{tag_id}",
    response_model=TagRead,
    responses=problem_responses(Unauthenticated, TagNotFound),
    openapi_extra=CREDENTIALS_OPTIONAL,
)
async def read_tag(tag_id: PathId, _visitor: Visitor, tags: TagReads, known: IfNoneMatch) -> Response:
    """Return a tag."""
    return resource_answer(await tags.get(tag_id), known)


@router.post(
    "/",
    status_code=201,
    response_model=TagRead,
    responses=problem_responses(Unauthenticated, InsufficientPermissions, TagExists),
)
async def create_tag(tag: TagCreate, staff: Staff, tags: TagWrites) -> Response:
    """Make a tag. Writing an item makes the tags it needs by itself."""
    return resource_answer(await tags.create(tag, by=staff), status=201)


@router.put(
    "/{tag_id}",
    response_model=TagRead,
    responses=problem_responses(Unauthenticated, InsufficientPermissions, TagNotFound, TagExists),
)
@router.patch(
    "/{tag_id}",
    response_model=TagRead,
    responses=problem_responses(Unauthenticated, InsufficientPermissions, TagNotFound, TagExists),
)
async def update_tag(
    tag_id: PathId, changes: TagUpdate, staff: Staff, tags: TagWrites, expected: IfMatch
) -> Response:
    """Change a tag: only the fields that are sent. A new name reaches every item that bears the tag."""
    return resource_answer(await tags.update(tag_id, changes, expected, by=staff))


@router.post(
    "/{tag_id}/merge",
    response_model=TagRead,
    responses=problem_responses(Unauthenticated, InsufficientPermissions, TagNotFound, SelfMerge),
)
async def merge_tag(tag_id: PathId, merge: TagMerge, staff: Staff, tags: TagWrites) -> Response:
    """Give all items of this tag to another, delete this one, and return the other."""
    return resource_answer(await tags.merge(tag_id, merge, by=staff))


@router.delete(
    "/{tag_id}", responses=problem_responses(Unauthenticated, InsufficientPermissions, TagNotFound)
)
async def delete_tag(tag_id: PathId, staff: Staff, tags: TagWrites, expected: IfMatch) -> Confirmation:
    """Delete a tag and take it off every item."""
    await tags.delete(tag_id, expected, by=staff)
    return Confirmation(message="Tag deleted successfully")
