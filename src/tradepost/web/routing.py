"""The route class of every router: nothing malformed gets as far as a schema.

FastAPI reads a body leniently (any encoding, NaN, repeated keys) and answers 422 to a body that is not JSON at all.
``Route`` reads it first, strictly, and hands FastAPI the result through a ``Request`` of its own.
"""

import re
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, Final, cast
from urllib.parse import quote_from_bytes, unquote_to_bytes

from fastapi import params
from fastapi.routing import APIRoute
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope
from typing_extensions import override

from tradepost.core.errors import Unprocessable
from tradepost.web import strict_json

URLENCODED: Final = "application/x-www-form-urlencoded"
FORM_TYPES: Final = frozenset({URLENCODED, "multipart/form-data"})
JSON_TYPE: Final = "application/json"

_JSON: Final = re.compile(r"application/(?:[a-z0-9.!#$&^_-]+\+)?json")

MAX_FORM_FIELDS: Final = 100
"""Our largest form has four fields."""

# What only a look at the bytes can judge: an escaped NUL, an escaped byte past ASCII, or such a byte as it is.
_SUSPICIOUS: Final = re.compile(rb"%00|%[89A-Fa-f][0-9A-Fa-f]|[\x00\x80-\xff]")
_PAST_ASCII: Final = re.compile(rb"[\x80-\xff]+")
_UTF8: Final = frozenset({b"utf-8", b"utf8"})
_NOT_TEXT: Final = "Text must be UTF-8 and hold no NUL"
_LONGEST_NAME: Final = 100

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class CheckedRequest(Request):
    """A request whose body was read and found acceptable before FastAPI asks for it."""

    content: Any = None
    checked_form: FormData | None = None

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


class Route(APIRoute):
    """A route that refuses what is malformed: 415 for a body of another kind, 422 for text that is none.

    The body, when the route declares one, must be JSON (or a form) and say so; an empty one needs no type. Query, path
    and form fields must be UTF-8 without NUL: a database would refuse them with an error of its own.
    """

    @override
    def get_route_handler(self) -> Handler:
        """Return FastAPI's handler behind the checks of this class."""
        handler = super().get_route_handler()
        read = self._body_reader()

        async def handle(request: Request) -> Response:
            scope = request.scope
            if scope["query_string"]:
                scope["query_string"] = checked_query(scope["query_string"])
            if scope["path_params"]:
                _check_path(scope)
            if read is None:
                return await handler(request)
            checked = CheckedRequest(scope, request.receive)
            await read(checked)
            return await handler(checked)

        return handle

    def _body_reader(self) -> Callable[[CheckedRequest], Awaitable[None]] | None:
        if self.body_field is None:
            return None
        return _accept_form if isinstance(self.body_field.field_info, params.Form) else accept_json


# --- bodies -----------------------------------------------------------------------------------------------------------


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
    body = await request.body()
    if not body:
        return
    try:
        request.content = strict_json.loads(body)
    except strict_json.JsonFault as fault:
        raise Unprocessable(("body", *map(_named, fault.location)), fault.message, kind=fault.kind) from None


async def _accept_form(request: CheckedRequest) -> None:
    if _media_type(request.headers) not in FORM_TYPES:
        await _refuse_unless_empty(request, " or ".join(sorted(FORM_TYPES)))
        request.checked_form = FormData()
        return
    # Read here, not when FastAPI asks: there, every error would become one 400 that says nothing.
    await request.form()


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
        raise Unprocessable(("body",), _NOT_TEXT, kind="string_unicode")
    if _decoded(value) is None:
        raise Unprocessable(("body", _named(name)), _NOT_TEXT, kind="string_unicode")


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
    if body.count(b"&") >= MAX_FORM_FIELDS:
        raise HTTPException(400, f"Too many fields. Maximum number of fields is {MAX_FORM_FIELDS}.")
    for name, value in _pairs(body):
        if name is None:
            raise Unprocessable(("body",), _NOT_TEXT, kind="string_unicode")
        if value is None:
            raise Unprocessable(("body", _named(name)), _NOT_TEXT, kind="string_unicode")
        fields.append((name, value))
    return FormData(cast("list[tuple[str, Any]]", fields))


# --- text in addresses ------------------------------------------------------------------------------------------------


def _named(part: str | int) -> str | int:
    return part if isinstance(part, int) else part[:_LONGEST_NAME]


def _decoded(data: bytes) -> str | None:
    """Return the text, or None when it is no UTF-8 or holds a NUL."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return None if "\x00" in text else text


def _pairs(encoded: bytes) -> Iterator[tuple[str | None, str | None]]:
    """Yield names and values of ``application/x-www-form-urlencoded`` data; None stands for what is no text."""
    for pair in encoded.split(b"&"):
        if pair:
            name, _, value = pair.partition(b"=")
            yield _unescaped(name), _unescaped(value)


def _unescaped(data: bytes) -> str | None:
    return _decoded(unquote_to_bytes(data.replace(b"+", b" ")))


def checked_query(query: bytes) -> bytes:
    """Return a query string in ASCII; ``Unprocessable`` for what is no text in it.

    Some clients send UTF-8 without escapes, which would be read as Latin-1.
    """
    if not _SUSPICIOUS.search(query):
        return query
    for name, value in _pairs(query):
        if name is None:
            raise Unprocessable(("query",), _NOT_TEXT, kind="string_unicode")
        if value is None:
            raise Unprocessable(("query", _named(name)), _NOT_TEXT, kind="string_unicode")
    return _PAST_ASCII.sub(lambda found: quote_from_bytes(found[0]).encode(), query)


def _check_path(scope: Scope) -> None:
    path: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogatepass")
    if _SUSPICIOUS.search(path) and _decoded(unquote_to_bytes(path)) is None:
        raise Unprocessable(("path",), _NOT_TEXT, kind="string_unicode")
