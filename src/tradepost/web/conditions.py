"""Conditional requests (RFC 9110, section 13): what a request says of the state that its client knows.

An endpoint declares ``known: IfNoneMatch`` to read one resource, ``expected: IfMatch`` to change it, and answers with
``resource_answer``. That is all: the OpenAPI document finds these dependencies and describes headers and statuses by them.
"""

from typing import Annotated, Final

from fastapi import Depends
from starlette.types import Scope

from tradepost.core.wire.representations import (
    ANY_VERSION,
    NOTHING_KNOWN,
    Expected,
    KnownTags,
    expected_versions,
    known_tags,
)
from tradepost.web.asgi_scope import REQUEST_HEADERS_KEY, FromScope


def _lines(scope: Scope, name: bytes) -> list[str]:
    """Return every line of a header: a list may be spread over several."""
    return [value.decode("latin-1") for field, value in scope["headers"] if field == name]


def _known_tags(scope: Scope) -> KnownTags:
    if b"if-none-match" not in scope[REQUEST_HEADERS_KEY]:
        return NOTHING_KNOWN
    return known_tags(_lines(scope, b"if-none-match"))


def _expected_versions(scope: Scope) -> Expected:
    if b"if-match" not in scope[REQUEST_HEADERS_KEY]:
        return ANY_VERSION
    return expected_versions(_lines(scope, b"if-match"))


reads_if_none_match: Final = FromScope(_known_tags)
reads_if_match: Final = FromScope(_expected_versions)

IfNoneMatch = Annotated[KnownTags, Depends(reads_if_none_match)]
"""What the client holds already: a reader that is told of it answers 304."""
IfMatch = Annotated[Expected, Depends(reads_if_match)]
"""The versions that the client is ready to change: a writer checks them against the row that it has locked."""
