"""``/items/bulk`` and ``/items/export``: many items at once, in and out."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Any, Final

from fastapi import Query, Request
from pydantic import Field, TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from tradepost.accounts.dependencies import Visitor
from tradepost.core.deadlines import note_progress
from tradepost.core.errors import (
    InsufficientPermissions,
    NoSpaceLeft,
    TookTooLong,
    TooLarge,
    TradepostError,
    Unauthenticated,
    Unprocessable,
    UnsupportedType,
)
from tradepost.core.idempotency.claim import Kept
from tradepost.core.idempotency.progress import Progress
from tradepost.core.settings.settings import Settings
from tradepost.core.wire.schemas import Output
from tradepost.items.bulk import BATCH, BulkRun, Outcome
from tradepost.items.dependencies import (
    Bulk,
    Exports,
    ItemWriter,
    Wanted,
)
from tradepost.items.export import ExportFormat, ExportsBusy
from tradepost.items.schemas import ItemCreate, ItemRead
from tradepost.web.answers.streamed import StreamedAnswer
from tradepost.web.asgi_scope import BODY_KEY
from tradepost.web.bodies import strict_json
from tradepost.web.bodies.incoming_body import PATIENCE, IncomingBody
from tradepost.web.bodies.json_lines import ArraySplitter, Line, NdjsonSplitter, Spool
from tradepost.web.db import ResourcesDep, resources_of
from tradepost.web.openapi.document import CREDENTIALS_OPTIONAL
from tradepost.web.problems.documentation import problem_responses
from tradepost.web.problems.rendering import problem, refusal, render
from tradepost.web.problems.schemas import Problem
from tradepost.web.problems.validation import field_problems
from tradepost.web.routing.router import Router
from tradepost.web.urlencoded import shortened

router = Router(prefix="/items", tags=["items"])

NDJSON: Final = "application/x-ndjson"
NDJSON_TYPES: Final = frozenset({NDJSON, "application/ndjson", "application/jsonl"})
MOST_ATOMIC: Final = 5000
"""Lines of a bulk that is made whole or not at all: one transaction, for which other writers wait on SQLite."""
ONLY_EXPORTED: Final = (ItemRead.model_fields.keys() - ItemCreate.model_fields.keys()) | {"category"}
"""What an export has and a new item has not."""
FAILED_DEPENDENCY: Final = 424
_NEW: Final = TypeAdapter(ItemCreate)
_Group = tuple[Sequence[Line], Sequence[ItemCreate | Response]]


class BulkLine(Output):
    """What became of one line."""

    line: int = Field(description="The line's number, from 1; blank ones count and are not answered")
    status: int = Field(
        description="As of a single POST; 424 where `atomic` made nothing for other lines' sake"
    )
    id: int | None = Field(default=None, description="The new item's number")
    problem: Problem | None = Field(default=None, description="Why there is no new item")


class BulkSummary(Output):
    """The last line of the answer."""

    created: int = Field(description="Items that were created")
    failed: int = Field(description="Lines that were refused")


def body_limit(settings: Settings) -> dict[str, int]:
    """Return the largest body of a bulk."""
    return {f"{settings.API_V1_STR}/items/bulk": int(settings.MAX_BULK_BYTES)}


class NdjsonResponse(JSONResponse):
    """What the OpenAPI is told of an answer in lines."""

    media_type = NDJSON


_EXAMPLE: Final = {"title": "Desk lamp", "price": 24.5, "tags": ["lamp"]}
BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "array",
                    "items": {"$ref": "#/components/schemas/ItemCreate"},
                    "examples": [[_EXAMPLE]],
                },
            },
            NDJSON: {"schema": {"$ref": "#/components/schemas/ItemCreate"}},
        },
    },
    "responses": {
        "422": {
            "content": {
                NDJSON: {
                    "schema": {
                        "anyOf": [
                            {"$ref": "#/components/schemas/BulkLine"},
                            {"$ref": "#/components/schemas/BulkSummary"},
                        ]
                    }
                }
            }
        }
    },
}


async def _spooled(request: Request, settings: Settings, most: int) -> Spool:
    """Read the body to its end and return its values; a fault of the body as a whole is raised."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    longest = int(settings.MAX_BODY_BYTES)
    if kind not in {*NDJSON_TYPES, "application/json"}:
        raise HTTPException(415, f"The body must be sent as {NDJSON} or application/json")
    spool = Spool(most)
    try:
        body: IncomingBody = request.scope[BODY_KEY]
        chunks = body.chunks(request.receive, resources_of(request).clock.monotonic, PATIENCE)
        splitter = NdjsonSplitter(longest) if kind in NDJSON_TYPES else ArraySplitter(longest)
        await spool.take(chunks, splitter)
    except BaseException:
        spool.close()
        raise
    return spool


def _read(line: Line, scope: Scope) -> ItemCreate | Response:
    """Return the item of a line, or the problem that a POST of it alone would be answered with."""
    if line.text is None:
        return refusal(scope, 413, "The body is too large")
    try:
        value = strict_json.loads(line.text)
        if isinstance(value, dict):
            value = {name: value[name] for name in value if name not in ONLY_EXPORTED}
        return _NEW.validate_python(value, from_attributes=True)
    except strict_json.JsonFault as fault:
        location = ("body", *map(shortened, fault.location))
        return problem(scope, Unprocessable(location, fault.message, kind=fault.kind))
    except ValidationError as error:
        found = [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False)]
        return render(scope, 422, Unprocessable.code, Unprocessable.detail, errors=field_problems(found))


def _line(number: int, outcome: int | Response) -> bytes:
    if isinstance(outcome, int):
        return b'{"line":%d,"status":201,"id":%d}\n' % (number, outcome)
    return b'{"line":%d,"status":%d,"problem":%s}\n' % (number, outcome.status_code, bytes(outcome.body))


def _summary(created: int, failed: int) -> bytes:
    return b'{"created":%d,"failed":%d}\n' % (created, failed)


async def _parsed(lines: Sequence[Line], scope: Scope) -> list[ItemCreate | Response]:
    found: list[ItemCreate | Response] = []
    for at, line in enumerate(lines):
        if at % SLICE == 0:
            # Reading a line takes no time of its own to speak of, a hundred of them would be felt by others.
            await asyncio.sleep(0)
        found.append(_read(line, scope))
    return found


def _merged(
    read: Sequence[ItemCreate | Response], outcomes: Sequence[Outcome], scope: Scope
) -> list[int | Response]:
    following = iter(outcomes)
    merged: list[int | Response] = []
    for one in read:
        outcome = next(following) if isinstance(one, ItemCreate) else one
        merged.append(problem(scope, outcome) if isinstance(outcome, TradepostError) else outcome)
    return merged


def _items(read: Sequence[ItemCreate | Response]) -> list[ItemCreate]:
    return [one for one in read if isinstance(one, ItemCreate)]


def _lines(lines: Sequence[Line], outcomes: Sequence[int | Response]) -> bytes:
    return b"".join([_line(line.number, outcome) for line, outcome in zip(lines, outcomes, strict=True)])


async def _each(spool: Spool, run: BulkRun, scope: Scope) -> AsyncGenerator[bytes]:
    """Take or refuse each line by itself, a transaction after the other, and answer each group of them.

    Lines that an earlier request with the same key has done are answered as they were.
    """
    try:
        with spool:
            async with run.alive():
                done = 0
                if run.progress is not None:
                    done = run.progress.last
                    async for answer in run.progress.answers():
                        yield answer
                groups = _groups(spool, done, scope)
                group = await anext(groups, None)
                while group is not None:
                    # The next lines are read while the database is at work on these.
                    answer, group = await asyncio.gather(_answered(group, run, scope), anext(groups, None))
                    yield answer
                summary = _summary(run.created, spool.count - run.created)
                await run.complete(summary)
                yield summary
    finally:
        await run.end()


async def _groups(spool: Spool, done: int, scope: Scope) -> AsyncGenerator[_Group]:
    """Yield the lines after those that are done, a transaction's worth at a time, with what was read of each."""
    async for group in spool.groups(BATCH):
        lines = [line for line in group if line.number > done]
        if lines:
            yield lines, await _parsed(lines, scope)


async def _answered(group: _Group, run: BulkRun, scope: Scope) -> bytes:
    lines, read = group

    def answered(outcomes: Sequence[Outcome]) -> bytes:
        return _lines(lines, _merged(read, outcomes, scope))

    return await run.create(_items(read), answered, last=lines[-1].number)


async def _all(spool: Spool, run: BulkRun, scope: Scope) -> tuple[int, AsyncGenerator[bytes]]:
    """Take all lines or none; return the status, and the answer."""
    lines: list[Line] = []
    read: list[ItemCreate | Response] = []
    with spool:
        async for group in spool.groups(BATCH):
            note_progress()
            lines += group
            read += await _parsed(group, scope)
    items = _items(read)

    def made(outcomes: Sequence[Outcome]) -> bytes:
        return _lines(lines, _merged(read, outcomes, scope)) + _summary(len(lines), 0)

    outcomes: list[int | Response]
    try:
        if len(items) == len(read):
            outcomes = _merged(read, await run.create_all(items, made), scope)
        else:
            outcomes = [UNTRIED if isinstance(one, ItemCreate) else one for one in read]
        refused = any(not isinstance(one, int) and one is not UNTRIED for one in outcomes)
        if not lines:
            await run.complete(made([]))
    finally:
        await run.end()
    if refused:
        unmade = render(
            scope, FAILED_DEPENDENCY, "HTTP_424", "Nothing was made, for other lines were refused"
        )
        outcomes = [unmade if isinstance(one, int) or one is UNTRIED else one for one in outcomes]

    async def answer() -> AsyncGenerator[bytes]:
        for at in range(0, len(lines), BATCH):
            yield _lines(lines[at : at + BATCH], outcomes[at : at + BATCH])
        yield _summary(0 if refused else len(lines), len(lines) if refused else 0)

    return 422 if refused else 200, answer()


async def _again(progress: Progress, ending: Kept) -> AsyncGenerator[bytes]:
    """Answer as an earlier request with the same key was answered."""
    async for answer in progress.answers():
        yield answer
    yield ending.answer


UNTRIED: Final = Response()
"""Stands for a good line of a bulk in which another one is not."""
SLICE: Final = 20
"""Lines that are read before others have their turn."""


@router.post(
    "/bulk",
    response_model=BulkLine | BulkSummary,
    response_class=NdjsonResponse,
    responses=problem_responses(
        Unauthenticated,
        InsufficientPermissions,
        TookTooLong,
        TooLarge,
        UnsupportedType,
        Unprocessable,
        NoSpaceLeft,
    ),
    openapi_extra=BODY,
)
async def create_items_in_bulk(
    request: Request,
    owner: ItemWriter,
    bulk: Bulk,
    resources: ResourcesDep,
    *,
    atomic: Annotated[bool, Query(description="All of them or none, at most 5,000")] = False,
) -> Response:
    """Put many items up for sale: NDJSON, or a JSON array. Fields that only an export has are passed over.

    The answer is NDJSON too, and begins when the body has been read: a `BulkLine` for each line in their order, then a
    `BulkSummary`. The status is 200, or 422 when `atomic` made nothing.
    """
    settings = resources.settings
    most = min(settings.MAX_BULK_LINES, MOST_ATOMIC) if atomic else settings.MAX_BULK_LINES
    spool = await _spooled(request, settings, most)
    try:
        run = await bulk.run(owner)
    except BaseException:
        spool.close()
        raise
    if run.progress is not None and run.progress.ending is not None:
        spool.close()
        return StreamedAnswer(_again(run.progress, run.progress.ending), NDJSON)
    # A refused line is no refused request: nothing of it is in the request's log line.
    quiet = dict(request.scope)
    if not atomic:
        return StreamedAnswer(_each(spool, run, quiet), NDJSON)
    status, answer = await _all(spool, run, quiet)
    return StreamedAnswer(answer, NDJSON, status)


@router.get(
    "/export",
    response_model=ItemRead,
    response_class=NdjsonResponse,
    responses={
        200: {
            "description": "An item a line, in the order of their ids",
            "content": {"text/csv": {"schema": {"type": "string"}}},
        },
        **problem_responses(Unauthenticated, ExportsBusy),
    },
    openapi_extra=CREDENTIALS_OPTIONAL,
)
async def export_items(
    visitor: Visitor,
    exports: Exports,
    wanted: Wanted,
    form: Annotated[
        ExportFormat, Query(alias="format", description="How they are written")
    ] = ExportFormat.NDJSON,
) -> Response:
    """Write every item that the filter finds, as it is at one moment; at most two exports run at once."""
    media_type = NDJSON if form is ExportFormat.NDJSON else "text/csv"
    headers = {"Content-Disposition": f'attachment; filename="items.{form}"'}
    return StreamedAnswer(exports.chunks(wanted, visitor, form), media_type, headers=headers)
