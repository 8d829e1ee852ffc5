"""The fast path: the busiest endpoints are called without FastAPI's machinery.

FastAPI's ordinary path through a route (exit stacks, dependencies, validation, serialisation) costs more than our answer. An
endpoint marked with ``fast_path`` is compiled once, at start-up, from what FastAPI found in its signature, into a plan: read
the ids in the path, look up what the query string means, await the dependencies in FastAPI's order, call the endpoint. The
endpoint's body and its dependencies are written once and serve both paths.

A request that the plan cannot judge plainly (an id such as ``007``, a query string that is not valid) takes the ordinary
path before anything was read or done, so every 422 about an address is FastAPI's own. ``tests/web/routing/test_fast_path.py`` holds
the two paths against each other byte for byte.
"""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from operator import itemgetter
from typing import Any, Final, Generic, TypeVar

from fastapi import params
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_body_to_args, request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.routing import RouteContext
from pydantic_core import PydanticUndefined
from starlette.datastructures import QueryParams
from starlette.responses import Response
from starlette.types import Receive, Scope

from tradepost.core.errors import Unprocessable
from tradepost.web.asgi_scope import FoundByScope, FromScope
from tradepost.web.bodies.checked_request import CheckedRequest, accept_json
from tradepost.web.routing.parameters import PLAIN_INTEGER
from tradepost.web.routing.query_names import QueryNames
from tradepost.web.urlencoded import checked_query

T = TypeVar("T")
Endpoint = TypeVar("Endpoint", bound=Callable[..., Awaitable[Response]])

_Function = Callable[..., Awaitable[Any]]
_Pick = Callable[[list[Any]], Sequence[Any]]

_SCOPE: Final = object()
_REQUEST: Final = object()
_MARK: Final = "__fast_path__"
_MOST_QUERIES: Final = 1_024
_LONGEST_QUERY: Final = 1_024
_LONGEST_PLAIN_ID: Final = 18
"""Digits of which no number is past 2^63 - 1."""


def fast_path(endpoint: Endpoint) -> Endpoint:
    """Have an endpoint called by the fast path wherever a request allows it. Below the route's decorator.

    The endpoint is asynchronous and returns a ``Response``. It may declare: ids (``PathId``), the request, one JSON body, and
    asynchronous dependencies without ``yield`` that declare the request and such dependencies. Query parameters belong into a
    dependency that declares nothing else: what it returns is kept for each query string, and must not be changed.
    """
    setattr(endpoint, _MARK, True)
    return endpoint


class FastPathError(TypeError):
    """An endpoint declares what the fast path cannot supply; start-up fails rather than answer it differently."""


class JudgedQueries(Generic[T]):
    """What the query strings that came before mean: the same string always means the same.

    The oldest goes when there are too many. Long ones are not kept: a parameter that no route knows may be megabytes, and a
    thousand such strings would fill the memory.
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


class _Plan:
    """Which functions are awaited in which order, and which of the values that are there by then each is given.

    Values are known by their position: the scope, the request, the ids, what the query string means, the result of each call
    in turn, and the body. Arguments are picked by position, which costs a third of building keyword arguments for every call.
    """

    def __init__(self, endpoint: Dependant) -> None:
        self.readers: list[Dependant] = []
        """The dependencies that read the query string."""
        self.calls: list[tuple[Callable[..., Any], _Pick | None, bool]] = []
        """Each with what it is given, None for the scope alone, and whether it is to be awaited."""
        self.needs_request = bool(endpoint.body_params)
        self._slots: dict[Any, int] = {_SCOPE: 0, _REQUEST: 1}
        for field in endpoint.path_params:
            self._slots[field.name] = len(self._slots)
        self._add_readers(endpoint)
        self._add_dependencies(endpoint)
        for field in endpoint.body_params:
            self._slots[field.name] = len(self._slots)
        self.endpoint = self._call(endpoint)

    def _add_readers(self, dependant: Dependant) -> None:
        for dependency in dependant.dependencies:
            self._add_readers(dependency)
            if dependency.query_params and dependency.call not in self._slots:
                _refuse_unless_simple(dependency, "query_params")
                self._slots[dependency.call] = len(self._slots)
                self.readers.append(dependency)

    def _add_dependencies(self, dependant: Dependant) -> None:
        """Add each dependency once, after its own: the order in which FastAPI solves them."""
        for dependency in dependant.dependencies:
            if dependency.call not in self._slots:
                _refuse_unless_simple(dependency, "dependencies", "request_param_name")
                self._add_dependencies(dependency)
                call = dependency.call
                if isinstance(call, FromScope):
                    self.calls.append((call.read, None, False))
                elif isinstance(call, FoundByScope):
                    self.calls.append((call.find, None, True))
                else:
                    self.calls.append((*self._call(dependency), True))
                self._slots[dependency.call] = len(self._slots)

    def _call(self, dependant: Dependant) -> tuple[Callable[..., Any], _Pick]:
        function = _function(dependant)
        keys: dict[str | None, Any] = {
            dependency.name: dependency.call for dependency in dependant.dependencies
        }
        if dependant.request_param_name is not None:
            keys[dependant.request_param_name] = _REQUEST
        slots = []
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD:
                raise FastPathError(f"{_name(dependant)}: cannot be given {parameter.name} by position")
            slots.append(self._slots[keys.get(parameter.name, parameter.name)])
        self.needs_request = self.needs_request or self._slots[_REQUEST] in slots
        if len(slots) > 1:
            return function, itemgetter(*slots)
        return function, itemgetter(_only(slots[0]) if slots else slice(0))


class FastEndpoint:
    """An endpoint compiled for the fast path; awaited with a request, it answers or returns None.

    None means that nothing was read or done yet, and that the request is to take the ordinary path.
    """

    def __init__(self, dependant: Dependant, *, embeds_body: bool) -> None:
        _refuse_unless_simple(dependant, "path_params", "body_params", "dependencies", "request_param_name")
        if not all(PLAIN_INTEGER in field.field_info.metadata for field in dependant.path_params):
            raise FastPathError(f"{_name(dependant)}: has a parameter in the path that is no PathId")
        if len(dependant.body_params) > 1 or any(
            isinstance(field.field_info, params.Form) for field in dependant.body_params
        ):
            raise FastPathError(f"{_name(dependant)}: has a body that is not one JSON value")
        if inspect.signature(_function(dependant)).return_annotation is not Response:
            raise FastPathError(f"{_name(dependant)}: is not annotated to return a Response")
        self.queries: JudgedQueries[list[Any]] = JudgedQueries()
        self._names = QueryNames(dependant)
        self._ids = [field.name for field in dependant.path_params]
        self._body = dependant.body_params
        self._embeds_body = embeds_body
        plan = _Plan(dependant)
        self._readers = plan.readers
        self._calls = plan.calls
        self._needs_request = plan.needs_request
        self._endpoint, self._pick = plan.endpoint

    async def __call__(self, scope: Scope, receive: Receive) -> Response | None:
        values: list[Any] = [scope, None]
        for name in self._ids:
            text: str = scope["path_params"][name]
            if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_PLAIN_ID and text[0] != "0"):
                return None
            values.append(int(text))
        if self._readers:
            meaning = self.queries.get(scope) or await self._judge(scope)
            if meaning is None:
                return None
            values += meaning
        elif scope["query_string"]:
            # The endpoint declares no parameter: the ordinary path says what is wrong with those that were sent.
            return None
        if self._needs_request:
            request = values[1] = CheckedRequest(scope, receive)
            if self._body:
                await accept_json(request)
        for function, pick, is_awaited in self._calls:
            value = function(scope) if pick is None else function(*pick(values))
            values.append(await value if is_awaited else value)
        if self._body:
            values.append(await self._read_body(values[1]))
        return await self._endpoint(*self._pick(values))  # type: ignore[no-any-return]

    async def _judge(self, scope: Scope) -> list[Any] | None:
        """Return what each reader makes of the query string; None unless it is valid, and written in ASCII."""
        query: bytes = scope["query_string"]
        try:
            if checked_query(query) != query or self._names.judged(query) != query:
                return None
        except Unprocessable:
            return None
        received = QueryParams(query)
        meaning = []
        for reader in self._readers:
            arguments, errors = request_params_to_args(reader.query_params, received)
            if errors:
                return None
            try:
                meaning.append(await _function(reader)(**arguments))
            except Unprocessable:
                return None
        self.queries.put(scope, meaning)
        return meaning

    async def _read_body(self, request: CheckedRequest) -> Any:
        values, errors = await request_body_to_args(
            body_fields=self._body,
            received_body=request.content if await request.body() else PydanticUndefined,
            embed_body_fields=self._embeds_body,
        )
        if errors:
            raise RequestValidationError(errors)
        return values[self._body[0].name]


def compiled(endpoint: object, route: RouteContext) -> FastEndpoint | None:
    """Return the endpoint of a route compiled for the fast path, if it is marked with ``fast_path``."""
    if not hasattr(endpoint, _MARK):
        return None
    return FastEndpoint(route.dependant, embeds_body=route._embed_body_fields)  # noqa: SLF001


def _function(dependant: Dependant) -> _Function:
    """Return what a dependency or an endpoint awaits."""
    call = dependant.call
    body = call if inspect.isroutine(call) else type(call).__call__  # a dependency may be an object
    if call is None or not inspect.iscoroutinefunction(body):
        raise FastPathError(f"{_name(dependant)}: neither threads nor `yield` are for the fast path")
    return call


def _only(slot: int) -> slice:
    """Return a slice of one value: with a single index, ``itemgetter`` would not return a sequence."""
    return slice(slot, slot + 1)


def _name(dependant: Dependant) -> str:
    return getattr(dependant.call, "__qualname__", repr(dependant.call))


_PLAIN: Final = Dependant()
_INPUTS: Final = (
    "path_params",
    "query_params",
    "header_params",
    "cookie_params",
    "body_params",
    "dependencies",
    "request_param_name",
    "websocket_param_name",
    "http_connection_param_name",
    "response_param_name",
    "background_tasks_param_name",
    "security_scopes_param_name",
    "concurrency",
    "use_cache",
)
"""The fields of a ``Dependant`` that say where its arguments come from."""


def _refuse_unless_simple(dependant: Dependant, *allowed: str) -> None:
    for name in _INPUTS:
        if name not in allowed and getattr(dependant, name) != getattr(_PLAIN, name):
            raise FastPathError(f"{_name(dependant)}: has {name}, which the fast path does not supply")
