"""Idempotency keys over HTTP: which key a request has, what it is a key of, and how a route's work keeps its answer.

How the work of a route is done, and so where the key belongs, is found in its dependencies at start-up: no route has a line
about keys, and none can forget them.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from enum import Enum, auto
from typing import Any, Final

from fastapi.dependencies.models import Dependant
from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Scope

from tradepost.core.errors import RuleBroken
from tradepost.core.idempotency.claim import Headers, KeepsKeys, Kept
from tradepost.core.idempotency.errors import HEADER
from tradepost.core.wire.schemas import SHOWN_ONCE
from tradepost.web.db import FromResources, request_transaction
from tradepost.web.urlencoded import pairs

RAW_HEADER: Final = HEADER.lower().encode()
LONGEST_KEY: Final = 255
REPLAYED: Final = "Idempotency-Replayed"
KEY_FORM: Final = r"[!-~](?:[ -~]{0,253}[!-~])?"
"""Printable ASCII; what surrounds the value of a header is no part of it."""
_KEY: Final = re.compile(KEY_FORM.encode())
SUCCESSES: Final = range(200, 300)


class Form(Enum):
    """How the work of a route is done, and so how its key is kept."""

    TRANSACTION = auto()
    """In the transaction of the request, which claims the key first and keeps the answer last."""
    GROUP = auto()
    """By something that lives as long as the process and keeps keys itself, such as a group writer."""
    LEASE = auto()
    """In several transactions: the key is claimed before the first, and settled in the last or after it."""


class MalformedKey(RuleBroken):
    """A key that is none."""

    code = "HTTP_400"
    detail = f"{HEADER} must be one header of 1 to {LONGEST_KEY} printable ASCII characters"


def form_of(dependant: Dependant) -> Form:
    """Return how the work behind an endpoint is done."""
    if any(one.call is request_transaction for one in _all(dependant)):
        return Form.TRANSACTION
    if any(
        isinstance(one.call, FromResources) and issubclass(one.call.kind, KeepsKeys)
        for one in _all(dependant)
    ):
        return Form.GROUP
    return Form.LEASE


def _all(dependant: Dependant) -> Iterable[Dependant]:
    yield dependant
    for dependency in dependant.dependencies:
        yield from _all(dependency)


def key_of(scope: Scope) -> bytes:
    """Return the key of a request that has one, or raise ``MalformedKey``."""
    keys = [value for name, value in scope["headers"] if name == RAW_HEADER]
    if len(keys) != 1 or not _KEY.fullmatch(keys[0]):
        raise MalformedKey
    return keys[0]  # type: ignore[no-any-return]


def digest_of(user_id: int, path: str, key: bytes) -> bytes:
    """Return what a key is known by: it belongs to a person and a path, and nobody else's is found under it."""
    # Both forms of a path lead to the same place. No part holds a NUL, or could be taken for the beginning of the next.
    parts = (b"%d" % user_id, b"POST", path.rstrip("/").encode("utf-8", "surrogatepass"), key)
    return hashlib.sha256(b"\0".join(parts)).digest()


def fingerprint_of(query: bytes, body: bytes) -> bytes:
    """Return what tells a request from another one with the same key; ``body`` is the digest of its body."""
    return hashlib.sha256(body + meant_query(query)).digest()


def meant_query(query: bytes) -> bytes:
    """Return what a query string means: without its escapes, the order of its names, and what is empty."""
    if not query:
        return b""
    meant = sorted((pair for pair in pairs(query) if pair[1] != ""), key=lambda pair: pair[0] or "")
    return json.dumps(meant).encode()


def shown_once(model: Any) -> frozenset[str]:
    """Return the fields of an answer that are shown once, and are not kept with it."""
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return frozenset()
    return frozenset(
        name
        for name, field in model.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and SHOWN_ONCE in field.json_schema_extra
    )


def kept_of(response: Response, *, hidden: frozenset[str] = frozenset()) -> Kept | None:
    """Return what is kept of an answer, without the fields ``hidden``; None for one that did not succeed, or is streamed."""
    if response.status_code not in SUCCESSES or not isinstance(getattr(response, "body", None), bytes):
        return None
    return Kept(
        response.status_code, without(bytes(response.body), hidden), kept_headers(response.raw_headers)
    )


def kept_headers(raw: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return the headers of an answer that are kept with it."""
    return tuple(
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in raw if name != b"content-length"
    )


def without(body: bytes, hidden: frozenset[str]) -> bytes:
    """Return a JSON object without some of its fields."""
    if not hidden:
        return body
    values = {name: value for name, value in json.loads(body).items() if name not in hidden}
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()


def replay(kept: Kept) -> Response:
    """Return the answer that was kept."""
    response = Response(kept.answer, kept.status)
    response.raw_headers += [
        (name.encode("latin-1"), value.encode("latin-1")) for name, value in kept.headers
    ]
    return response
