"""``/upload``: avatars, pictures made to measure, and serving; files of items are taken by routes in ``items``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Annotated

from fastapi import Depends, Path, Query, Request
from starlette.responses import Response

from tradepost.accounts.dependencies import CurrentPrincipal, MayReadUsers, Visitor
from tradepost.accounts.errors import UserNotFound
from tradepost.core.errors import (
    InsufficientPermissions,
    NoSuchRange,
    NotOwner,
    PreconditionFailed,
    TookTooLong,
    TooLarge,
    Unauthenticated,
)
from tradepost.core.settings.settings import Settings
from tradepost.core.storage.store import NoSuchKey, Storage, StorageBusy, StorageFull, StorageUnavailable
from tradepost.core.wire.schemas import Confirmation, Id
from tradepost.media.dependencies import AvatarUploads, Files, FileWrites, PictureVariants, Processing
from tradepost.media.errors import (
    InvalidCategory,
    NoSuchFile,
    PictureRefused,
    QuotaExceeded,
    UnsupportedFile,
)
from tradepost.media.file_types import DOCUMENT_TYPES, PICTURE_TYPES, saved_name
from tradepost.media.pictures import Fit, Format
from tradepost.media.processing import BEST_QUALITY, LONGEST_SIDE, QUALITY
from tradepost.media.reader import check_category
from tradepost.media.recipes import CONTENT_TYPES, Recipe, Step, wanted_format
from tradepost.media.schemas import (
    Category,
    FilePage,
    FileSelection,
    ProcessedPicture,
    UploadedAvatar,
    UsageRead,
)
from tradepost.web.answers.file_answer import FileFacts, file_answer
from tradepost.web.bodies.uploads import file_parts, form_documentation, total_limit, upload_form
from tradepost.web.db import resources_of
from tradepost.web.openapi.document import CREDENTIALS_OPTIONAL
from tradepost.web.problems.documentation import problem_responses
from tradepost.web.routing.lists import ListPages, UncountedWindow
from tradepost.web.routing.parameters import PathId
from tradepost.web.routing.query_names import any_query
from tradepost.web.routing.router import Router

router = Router(prefix="/upload", tags=["uploads"])

MOST_FILES = 5
UPLOAD_ERRORS = (
    Unauthenticated,
    QuotaExceeded,
    TookTooLong,
    TooLarge,
    UnsupportedFile,
    StorageBusy,
    StorageUnavailable,
    StorageFull,
)


def body_limits(settings: Settings) -> dict[str, int]:
    """Return the largest body below each path of uploads: all of its files, and the form around them."""
    size = int(settings.MAX_UPLOAD_BYTES)
    return {
        f"{settings.API_V1_STR}/upload/": total_limit(size, 1),
        f"{settings.API_V1_STR}/upload/items/": total_limit(size, MOST_FILES),
    }


@router.post(
    "/avatar/",
    responses=problem_responses(*UPLOAD_ERRORS),
    openapi_extra=form_documentation("file", types=PICTURE_TYPES),
)
async def upload_avatar(
    request: Request, principal: CurrentPrincipal, avatars: AvatarUploads
) -> UploadedAvatar:
    """Show a picture of oneself, in place of the one before: JPEG, PNG, GIF or WebP."""
    return await avatars.replace(principal, file_parts(upload_form(request, files=1), "file"))


_SIDE = {"type": "integer", "minimum": 1, "maximum": LONGEST_SIDE}
_QUALITY = {"type": "integer", "minimum": 1, "maximum": BEST_QUALITY, "default": QUALITY}
PROCESS_FORM = form_documentation(
    "file",
    types=PICTURE_TYPES,
    resize_width=_SIDE | {"description": "Pixels from left to right"},
    resize_height=_SIDE | {"description": "Pixels from top to bottom"},
    quality=_QUALITY | {"description": "Of the JPEG: more looks better and takes more room"},
)


@router.post(
    "/process-image/",
    responses=problem_responses(*UPLOAD_ERRORS, PictureRefused),
    openapi_extra=PROCESS_FORM,
)
async def process_image(
    request: Request, principal: CurrentPrincipal, pictures: Processing
) -> ProcessedPicture:
    """Make a JPEG of a picture, in another size: one side alone keeps the ratio, none keeps the size.

    What is transparent becomes white, and of an animation the first frame counts. Without a size, both sides become at most
    4096.
    """
    return await pictures.process(principal, upload_form(request, files=1).parts())


async def requested_recipe(
    request: Request,
    w: Annotated[Step | None, Query(description="Width of the variant's box")] = None,
    h: Annotated[Step | None, Query(description="Height of the variant's box")] = None,
    fit: Annotated[
        Fit, Query(description="Show all of the picture, or fill the box with its middle")
    ] = "contain",
    kind: Annotated[Format | None, Query(alias="format", description="The variant's format")] = None,
) -> Recipe | None:
    """Return the recipe of the variant that a request names; None for the file itself."""
    if w is None and h is None and kind is None:
        return None
    return Recipe(w, h, fit, kind or wanted_format(request.headers.get("accept", "")))


# Plain text: another category is 400 `Invalid category`, and what no file is called is 404.
CategoryName = Annotated[
    str,
    Path(description="What the file is for", json_schema_extra={"enum": list(Category)}, examples=["items"]),
]
FileName = Annotated[
    str, Path(description="The `filename` that the upload was answered with", examples=["3f0c9a51d2.jpg"])
]
OfOwner = Annotated[Id | None, Query(description="Only files of this person")]
OfCategory = Annotated[Category | None, Query(description="Only files of this category")]
RequestedRecipe = Annotated[Recipe | None, Depends(requested_recipe)]
FILE_HEADERS = {
    "ETag": {"description": "Names the bytes (strong)", "schema": {"type": "string"}},
    "Accept-Ranges": {"description": "`bytes`", "schema": {"type": "string"}},
}
FILE_CONTENT = {
    kind.partition(";")[0]: {"schema": {"type": "string", "format": "binary"}}
    for kind in (*PICTURE_TYPES, CONTENT_TYPES["avif"], *DOCUMENT_TYPES)
}
FILE_RESPONSES = problem_responses(
    Unauthenticated,
    InvalidCategory,
    NoSuchFile,
    PreconditionFailed,
    NoSuchRange,
    StorageUnavailable,
    PictureRefused,
) | {
    200: {"description": "The file", "content": FILE_CONTENT, "headers": FILE_HEADERS},
    206: {
        "description": "The parts of it that `Range` asks for",
        "content": FILE_CONTENT
        | {"multipart/byteranges": {"schema": {"type": "string", "format": "binary"}}},
        "headers": FILE_HEADERS,
    },
    304: {"description": "The client has it already (`If-None-Match`)"},
}


@router.get("/files/", responses=problem_responses(Unauthenticated, InsufficientPermissions))
async def list_files(
    *,
    _reader: MayReadUsers,
    files: Files,
    pages: ListPages,
    window: UncountedWindow,
    owner_id: OfOwner = None,
    category: OfCategory = None,
) -> FilePage:
    """List what people have uploaded, the newest first: for staff."""
    selection = FileSelection(owner_id, category)
    page = await pages.read(f"files {selection}", window, partial(files.page, selection))
    return FilePage(files=list(page.rows), **page.info)


@router.get(
    "/files/{category}/{filename}",
    response_class=Response,
    responses=FILE_RESPONSES,
    openapi_extra=CREDENTIALS_OPTIONAL,
)
@any_query
async def read_file(  # noqa: PLR0917 - FastAPI fills them in by name
    request: Request,
    category: CategoryName,
    filename: FileName,
    visitor: Visitor,
    files: Files,
    variants: PictureVariants,
    recipe: RequestedRecipe,
) -> Response:
    """Return a file, or ranges of it; documents and pictures of hidden items only to their owner and staff.

    With `w`, `h` or `format`, a variant of a picture: fitted into a box of these sides, or cut to its shape (`cover`), never
    larger than it is, and still where the picture moves. Without `format`, what `Accept` names decides.
    """
    file = await files.get(category, filename, visitor)
    row = file.row
    facts = FileFacts(
        size=row.size,
        content_type=row.content_type,
        tag=row.sha256,
        shown_name=saved_name(row.original_name, row.name),
        is_public=file.is_public,
        inline=row.category is not Category.DOCUMENTS,
    )
    if recipe is None:
        return serve(request, facts, row.name)
    variant = await variants.get(row, recipe)
    facts = replace(
        facts,
        size=variant.size,
        content_type=CONTENT_TYPES[recipe.format],
        tag=variant.sha256,
        shown_name=saved_name(facts.shown_name.rpartition(".")[0], variant.key),
        vary="Accept",
    )
    return serve(request, facts, variant.key)


def serve(request: Request, facts: FileFacts, key: str) -> Response:
    """Return the answer with the bytes under a key."""
    resources = resources_of(request)
    opening = partial(_opened, resources[Storage], key)
    return file_answer(request, facts, opening, boundary=resources.clock.token(18))


@asynccontextmanager
async def _opened(storage: Storage, key: str, start: int, end: int) -> AsyncIterator[AsyncIterator[bytes]]:
    try:
        async with storage.open(key, start=start, end=end) as chunks:
            yield chunks
    except NoSuchKey:
        # Removed between the look at its row and this moment.
        raise NoSuchFile from None


@router.delete(
    "/files/{category}/{filename}",
    responses=problem_responses(Unauthenticated, NotOwner, InvalidCategory, NoSuchFile),
)
async def delete_file(
    category: CategoryName, filename: FileName, principal: CurrentPrincipal, files: FileWrites
) -> Confirmation:
    """Delete a file; its owner may, and staff. What named it does not any more."""
    check_category(category)
    await files.delete(category, filename, principal)
    return Confirmation(message="File deleted successfully")


@router.get("/usage", responses=problem_responses(Unauthenticated))
async def read_my_usage(principal: CurrentPrincipal, files: Files) -> UsageRead:
    """Tell how much room one's own files take up."""
    return await files.usage(principal.user_id)


@router.get(
    "/usage/{user_id}", responses=problem_responses(Unauthenticated, InsufficientPermissions, UserNotFound)
)
async def read_usage(user_id: PathId, _reader: MayReadUsers, files: Files) -> UsageRead:
    """Tell how much room somebody's files take up."""
    return await files.usage(user_id)
