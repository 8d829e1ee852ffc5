"""A short way for the few routes that are asked most.

FastAPI's own way through a route (exit stacks, dependencies, validation, serialisation) costs more than our answer. A route
may name a *lean* handler beside its endpoint: it gets the bare ASGI scope and answers the plain case, or returns None
before it has done or read anything: then the request takes the ordinary way. The endpoint declares, documents and validates; the
lean handler must answer as it would, and tests hold the two against each other.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Generic, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope

LEAN_ATTRIBUTE: Final = "lean_handler"

LeanHandler = Callable[[Scope, Receive], Awaitable[Response | None]]
T = TypeVar("T")
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

_MOST_QUERIES: Final = 1_024
_LONGEST_QUERY: Final = 1_024
_LONGEST_PLAIN_ID: Final = 18
"""Digits of which no number is past 2^63 - 1."""


def lean(handler: LeanHandler) -> Callable[[Endpoint], Endpoint]:
    """Give an endpoint its short way. Below the route's decorator."""

    def decorate(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, LEAN_ATTRIBUTE, handler)
        return endpoint

    return decorate


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return the first header of this lower-case name."""
    for key, value in scope["headers"]:
        if key == name:
            return value  # type: ignore[no-any-return]
    return None


def plain_id(scope: Scope, name: str) -> int | None:
    """Return an id in the path that is written as plainly as can be; None for what only validation can judge."""
    text: str = scope["path_params"][name]
    if text.isascii() and text.isdigit() and len(text) <= _LONGEST_PLAIN_ID and text[0] != "0":
        return int(text)
    return None


class JsonAnswer(Response):
    """An answer of JSON that is made already; a third of the cost of a ``Response``, which looks at what it is given."""

    media_type = "application/json"

    def __init__(self, body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.status_code = status
        self.background = None
        self.body = body
        self.raw_headers = [
            (b"content-length", b"%d" % len(body)),
            (b"content-type", b"application/json"),
        ]
        if headers is not None:
            self.raw_headers += [
                (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
            ]


class JudgedQueries(Generic[T]):
    """What validation made of query strings that came before: the same string always means the same.

    The ordinary way puts them in, a lean handler looks them up; the oldest goes when there are too many. Long ones are
    not kept: a parameter that nobody knows may be megabytes, and a thousand such strings would fill the memory.
    """

    def __init__(self) -> None:
        self._meanings: dict[bytes, T] = {}

    def get(self, scope: Scope) -> T | None:
        """Return what the query string of a request means, if it was judged before."""
        return self._meanings.get(scope["query_string"])

    def put(self, scope: Scope, meaning: T) -> None:
        """Remember what a query string means."""
        query: bytes = scope["query_string"]
        if len(query) > _LONGEST_QUERY:
            return
        if len(self._meanings) >= _MOST_QUERIES and query not in self._meanings:
            del self._meanings[next(iter(self._meanings))]
        self._meanings[query] = meaning
