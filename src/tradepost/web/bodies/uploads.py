"""Streaming forms for routes: ``multipart/form-data``, handed on part by part while it arrives.

Only for paths that are allowed larger bodies (``web.middleware.body_limit``): there a refusal may be sent before the whole body has come,
and the client still gets to read it (a lingering close).
"""

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Final

from fastapi import Request

from tradepost.core.errors import TradepostError, Unprocessable
from tradepost.web.asgi_scope import BODY_KEY
from tradepost.web.bodies.incoming_body import PATIENCE, IncomingBody
from tradepost.web.bodies.multipart import FormLimits, FormPart, MalformedForm, MultipartForm
from tradepost.web.db import resources_of

MOST_FIELDS: Final = 8
"""Parts of a form that may come besides its files."""
OVERHEAD: Final = 64 * 1024
"""Bytes that a form may have besides its files."""


def upload_form(
    request: Request, *, files: int, too_many: Callable[[], TradepostError] = MalformedForm
) -> MultipartForm:
    """Return the form of a request, to be read once; it may hold ``files`` files of the size that the settings allow.

    A few parts more are let through, so that the caller can name the one that is wrong; past them ``too_many`` is raised.
    """
    resources = resources_of(request)
    body: IncomingBody = request.scope[BODY_KEY]
    if body.complete:
        return MultipartForm.empty()
    limits = FormLimits(int(resources.settings.MAX_UPLOAD_BYTES), files + MOST_FIELDS, too_many)
    chunks = body.chunks(request.receive, resources.clock.monotonic, PATIENCE)
    return MultipartForm(request.headers.get("content-type", ""), chunks, limits)


def total_limit(file_bytes: int, files: int) -> int:
    """Return how many bytes a body with so many files may have."""
    return file_bytes * files + OVERHEAD


async def file_parts(form: MultipartForm, field: str) -> AsyncIterator[FormPart]:
    """Yield the parts of a form, each of which must be a file of this field; any other is 422.

    ``files[]`` is taken for ``files``: some libraries write arrays so.
    """
    async for part in form.parts():
        if part.name == f"{field}[]":
            part.name = field
        if part.name != field:
            raise Unprocessable(("body", part.name), "Extra inputs are not permitted", kind="extra_forbidden")
        if part.file_name is None:
            raise Unprocessable(("body", field), "Input should be a file with a name", kind="file_type")
        yield part


def form_documentation(
    field: str, *, types: Iterable[str], most: int | None = None, **others: dict[str, Any]
) -> dict[str, Any]:
    """Return the ``openapi_extra`` of a route that takes a file of these types, or up to ``most`` of them.

    ``others`` are the schemas of fields that may come besides.
    """
    file = {"type": "string", "format": "binary"}
    kinds = ", ".join(sorted({kind.partition(";")[0] for kind in types}))
    described = {"description": f"Known by its content, not by its name: {kinds}"}
    value: dict[str, Any] = file | described
    if most is not None:
        value = {"type": "array", "items": file, "minItems": 1, "maxItems": most, **described}
    schema = {
        "type": "object",
        "required": [field],
        "properties": {field: value, **others},
        "additionalProperties": False,
    }
    content = {"schema": schema, "encoding": {field: {"contentType": kinds}}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": content}}}
