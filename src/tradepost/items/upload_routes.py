"""``/upload/items``: pictures and documents of items."""

from typing import Final

from fastapi import Request
from starlette.responses import Response

from tradepost.core.errors import NotOwner
from tradepost.items.dependencies import ItemWriter, Uploads
from tradepost.items.errors import ItemNotFound
from tradepost.items.uploads import MOST_FILES
from tradepost.media.errors import TooManyFiles
from tradepost.media.file_types import DOCUMENT_TYPES, PICTURE_TYPES
from tradepost.media.routes import UPLOAD_ERRORS
from tradepost.media.schemas import UploadedFiles
from tradepost.web.answers.json_answer import JsonAnswer
from tradepost.web.bodies.uploads import file_parts, form_documentation, upload_form
from tradepost.web.problems.documentation import problem_responses
from tradepost.web.routing.fast_path import fast_path
from tradepost.web.routing.parameters import PathId
from tradepost.web.routing.router import Router

router = Router(prefix="/upload/items", tags=["uploads"])

ERRORS: Final = problem_responses(*UPLOAD_ERRORS, TooManyFiles, NotOwner, ItemNotFound)
PICTURES: Final = form_documentation("files", types=PICTURE_TYPES, most=MOST_FILES)
DOCUMENTS: Final = form_documentation("files", types=DOCUMENT_TYPES, most=MOST_FILES)


@router.post("/{item_id}/images/", response_model=UploadedFiles, responses=ERRORS, openapi_extra=PICTURES)
@fast_path
async def upload_item_images(
    request: Request, item_id: PathId, principal: ItemWriter, uploads: Uploads
) -> Response:
    """Have an item show up to five further pictures, all or none of them: JPEG, PNG, GIF or WebP."""
    parts = file_parts(upload_form(request, files=MOST_FILES, too_many=TooManyFiles), "files")
    return _answer(await uploads.add_images(item_id, principal, parts))


@router.post("/{item_id}/documents/", response_model=UploadedFiles, responses=ERRORS, openapi_extra=DOCUMENTS)
@fast_path
async def upload_item_documents(
    request: Request, item_id: PathId, principal: ItemWriter, uploads: Uploads
) -> Response:
    """Keep up to five documents with an item, for its owner and staff, all or none: PDF, UTF-8 text, Word."""
    parts = file_parts(upload_form(request, files=MOST_FILES, too_many=TooManyFiles), "files")
    return _answer(await uploads.add_documents(item_id, principal, parts))


def _answer(uploaded: UploadedFiles) -> Response:
    return JsonAnswer(uploaded.model_dump_json().encode())
