"""Request bodies read strictly before FastAPI asks for them: JSON, and forms of fields.

FastAPI reads a body leniently (any encoding, NaN, repeated keys) and answers an unspecific 400 to a form that it cannot read.
``accept_json`` and ``accept_form`` read it first, and hand FastAPI the result through a ``CheckedRequest``.
"""

import re
from contextlib import nullcontext
from typing import Any, Final, cast

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from typing_extensions import override

from tradepost.core.errors import TooLarge, Unprocessable
from tradepost.core.observability.server_timing import timing
from tradepost.web.bodies import strict_json
from tradepost.web.urlencoded import NOT_TEXT, decoded, pairs, shortened

URLENCODED: Final = "application/x-www-form-urlencoded"
FORM_TYPES: Final = frozenset({URLENCODED, "multipart/form-data"})
JSON_TYPE: Final = "application/json"

_JSON: Final = re.compile(r"application/(?:[a-z0-9.!#$&^_-]+\+)?json")

REFRESH_GRANT: Final = "refresh_token"
UNUSED_FIELDS: Final = frozenset({"scope", "client_id", "client_secret"})
"""What programs for OAuth 2 send along, and means nothing here."""

MAX_FORM_FIELDS: Final = 100
"""Our largest form has four fields."""
MAX_FORM_BYTES: Final = 64 * 1024
"""Of a form in one text: its escapes are undone in one go, which for a mebibyte of them takes a tenth of a second."""

_UTF8: Final = frozenset({b"utf-8", b"utf8"})


class CheckedRequest(Request):
    """A request whose body was read and found acceptable before FastAPI asks for it."""

    content: Any = None
    checked_form: FormData | None = None
    is_form_as_json: bool = False

    @property
    @override
    def headers(self) -> Headers:
        """Return the headers; of a form that was read as JSON, those of JSON."""
        found = super().headers
        return Headers({**found, "content-type": JSON_TYPE}) if self.is_form_as_json else found

    @override
    async def json(self) -> Any:
        """Return the body's value."""
        return self.content

    @override
    async def form(self, **limits: Any) -> FormData:  # type: ignore[override]
        """Return the form's fields, within limits of our own."""
        del limits
        if self.checked_form is None:
            self.checked_form = await _read_form(self)
        return self.checked_form


def _media_type(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


async def _refuse_unless_empty(request: Request, accepted: str) -> None:
    """Answer 415 to a body that is not of an accepted kind; one that announces its length is not even read."""
    length = request.headers.get("content-length")
    if (length is not None and length != "0") or await request.body():
        raise HTTPException(415, f"The body must be sent as {accepted}")


async def accept_json(request: CheckedRequest) -> None:
    """Read a body that must be JSON, or empty, into ``request.content``; 415 for another type, 422 for another text."""
    if not _JSON.fullmatch(_media_type(request.headers)):
        await _refuse_unless_empty(request, JSON_TYPE)
        return
    asked = timing.get()
    try:
        with nullcontext() if asked is None else asked.in_phase("parse"):
            body = await request.body()
            if body:
                request.content = strict_json.loads(body)
    except strict_json.JsonFault as fault:
        raise Unprocessable(
            ("body", *map(shortened, fault.location)), fault.message, kind=fault.kind
        ) from None


async def accept_form(request: CheckedRequest) -> None:
    """Read a body that must be a form, or empty, into ``request.checked_form``; 415 for another type, 4xx for a broken one."""
    if _media_type(request.headers) not in FORM_TYPES:
        await _refuse_unless_empty(request, " or ".join(sorted(FORM_TYPES)))
        request.checked_form = FormData()
        return
    # Read here, not when FastAPI asks: there, every error would become one 400 that says nothing.
    asked = timing.get()
    with nullcontext() if asked is None else asked.in_phase("parse"):
        await request.form()


async def accept_grant(request: CheckedRequest) -> None:
    """Read OAuth 2's form of a refresh (RFC 6749, section 6) as the JSON that it stands for, anything else as ``accept_json``."""
    if _media_type(request.headers) != URLENCODED:
        await accept_json(request)
        return
    fields = (await request.form()).multi_items()
    content: dict[str, Any] = {}
    for name, value in fields:
        if name in content:
            raise Unprocessable(("body", shortened(name)), "It is sent twice", kind="repeated")
        content[name] = value
    if content:
        if content.pop("grant_type", None) != REFRESH_GRANT:
            raise Unprocessable(
                ("body", "grant_type"), f"Input should be '{REFRESH_GRANT}'", kind="literal_error"
            )
        request.content = {name: value for name, value in content.items() if name not in UNUSED_FIELDS}
        request.is_form_as_json = True


class _StrictMultiPartParser(MultiPartParser):
    """Refuses names and values that are not UTF-8; the parser would take their bytes for Latin-1."""

    @override
    def on_part_end(self) -> None:
        part = self._current_part
        if part.file is None:
            _check_field(part.field_name, bytes(part.data))
        super().on_part_end()


def _check_charset(headers: Headers) -> None:
    """Answer 415 to a multipart form that names another charset, by which the parser would read its fields.

    RFC 7578 (section 5.1.2) gives the type no such parameter. Python knows codecs that fail on anything, and such as
    make a NUL of ASCII after ``_check_field`` has looked.
    """
    _, given = parse_options_header(headers["content-type"])
    if given.get(b"charset", b"utf-8").lower() not in _UTF8:
        raise HTTPException(415, "Forms must be sent in UTF-8")


def _check_field(name: str, value: bytes) -> None:
    if "\x00" in name:
        raise Unprocessable(("body",), NOT_TEXT, kind="string_unicode")
    if decoded(value) is None:
        raise Unprocessable(("body", shortened(name)), NOT_TEXT, kind="string_unicode")


async def _read_form(request: Request) -> FormData:
    if _media_type(request.headers) == "multipart/form-data":
        _check_charset(request.headers)
        try:
            parser = _StrictMultiPartParser(
                request.headers, request.stream(), max_files=MAX_FORM_FIELDS, max_fields=MAX_FORM_FIELDS
            )
            return await parser.parse()
        except MultiPartException as fault:
            raise HTTPException(400, fault.message) from None
        except UnicodeDecodeError:
            raise HTTPException(400, "Invalid multipart data.") from None
    fields: list[tuple[str, str]] = []
    body = await request.body()
    if len(body) > MAX_FORM_BYTES:
        raise TooLarge(f"The form is too large; allowed are {MAX_FORM_BYTES:,} bytes")
    if body.count(b"&") >= MAX_FORM_FIELDS:
        raise HTTPException(400, f"Too many fields. Maximum number of fields is {MAX_FORM_FIELDS}.")
    for name, value in pairs(body):
        if name is None:
            raise Unprocessable(("body",), NOT_TEXT, kind="string_unicode")
        if value is None:
            raise Unprocessable(("body", shortened(name)), NOT_TEXT, kind="string_unicode")
        fields.append((name, value))
    return FormData(cast("list[tuple[str, Any]]", fields))
