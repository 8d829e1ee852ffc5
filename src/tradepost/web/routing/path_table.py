"""The path table: routes are found by look-up, not by trying one after the other.

Starlette and FastAPI try every route in turn, and an included router's routes once more for every router they are nested
in; a 405 knows only the methods of the route it met first. ``PathTable`` is a route like any other, put before the
rest, that knows all of them:

- both forms of a path, with and without the slash at its end, lead to the same place without a redirect; only the
  canonical one is in the OpenAPI;
- a path without parameters wins over one with (``/items/search`` is never read as ``/items/{item_id}``);
- ``HEAD`` is answered wherever ``GET`` is, ``OPTIONS`` everywhere, and a 405 names every method of its path.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette._utils import get_route_path
from starlette.convertors import Convertor, PathConvertor
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typing_extensions import override

from tradepost.web.asgi_scope import TEMPLATE_KEY
from tradepost.web.bodies.checked_request import JSON_TYPE
from tradepost.web.idempotency import Form, form_of, shown_once
from tradepost.web.routing.fast_path import FastEndpoint, compiled

FOUND_KEY: Final = "tradepost.found"
"""Where the layer of the fast path leaves in the ASGI scope what ``PathTable.find`` returned."""
_ENTRY_KEY: Final = "tradepost.entry"
_NAMES: Final = re.compile(r"\(\?P<\w+>")


@dataclass(slots=True)
class Target:
    """What answers one method of a path."""

    app: ASGIApp
    endpoint: Any
    route: BaseRoute
    fast: FastEndpoint | None
    form: Form | None
    """How its work keeps an idempotency key; None where no key is taken."""
    hidden: frozenset[str]
    """The fields of its answer that are not kept."""


@dataclass(slots=True)
class _Entry:
    """One path and all its methods."""

    template: str
    pattern: re.Pattern[str]
    convertors: dict[str, Convertor[Any]]
    targets: dict[str, Target] = field(default_factory=dict)

    @property
    def allow(self) -> str:
        methods = set(self.targets)
        if "GET" in methods:
            methods.add("HEAD")
        return ", ".join(sorted(methods))


class PathTable(BaseRoute):
    """Every HTTP route of an application, found by path.

    Paths without parameters are one dictionary look-up, and so are those whose only parameter is a plain number at their end;
    the others are tried in the order of their registration, and only those with the same number of segments.
    """

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._fixed: dict[str, _Entry] = {}
        self._numbered: dict[str, tuple[_Entry, str]] = {}
        self._by_depth: dict[int, list[_Entry]] = {}
        self._open: list[_Entry] = []
        self._complete = True
        entries: dict[str, _Entry] = {}
        for context in iter_route_contexts(list(routes)):
            self._add(context, entries)
        for entry in entries.values():
            self._file(entry)
        self._number(entries.values())

    def _add(self, context: RouteContext, entries: dict[str, _Entry]) -> None:
        path, template = context.path, context.path_format
        if path is None or template is None or not isinstance(context.original_route, Route):
            # Mounts and the like stay with the router, which then has the last word on unknown paths.
            self._complete = self._complete and isinstance(context.original_route, WebSocketRoute)
            return
        shape = _NAMES.sub("(", context.path_regex.pattern)
        entry = entries.get(shape)
        if entry is None:
            entry = entries[shape] = _Entry(template, context.path_regex, context.param_convertors)
        elif entry.template != template:
            raise ValueError(
                f"{entry.template} and {template} are one path: give their parameters the same names"
            )
        fast = compiled(context.endpoint, context)
        form, hidden = None, frozenset[str]()
        if isinstance(context.original_route, APIRoute):
            form, hidden = form_of(context.dependant), shown_once(context.original_route.response_model)
        target = Target(context.app, context.endpoint, context.original_route, fast, form, hidden)
        for method in context.methods or ("GET",):
            entry.targets.setdefault(method, target)

    def _file(self, entry: _Entry) -> None:
        if not entry.convertors:
            self._fixed[entry.template] = entry
            self._fixed.setdefault(_other_form(entry.template), entry)
        elif any(isinstance(convertor, PathConvertor) for convertor in entry.convertors.values()):
            self._open.append(entry)
        else:
            self._by_depth.setdefault(_depth(entry.template), []).append(entry)

    def _number(self, entries: Iterable[_Entry]) -> None:
        """Have paths that end in a number found by what stands before it, where the search finds the same."""
        for entry in entries:
            before, _, last = entry.template.rpartition("/")
            if len(entry.convertors) == 1 and last.startswith("{") and last.endswith("}"):
                name = last[1:-1]
                if self._search(f"{before}/1") == (entry, {name: "1"}):
                    self._numbered[before] = entry, name

    def find(self, path: str) -> tuple[_Entry, dict[str, Any]] | None:
        """Return the entry of a path and the parameters in it."""
        entry = self._fixed.get(path)
        if entry is not None:
            return entry, {}
        before, _, last = path.rpartition("/")
        if last.isdigit() and before in self._numbered:
            entry, name = self._numbered[before]
            return entry, {name: last}
        return self._search(path)

    def _search(self, path: str) -> tuple[_Entry, dict[str, Any]] | None:
        for entry in self._by_depth.get(_depth(path), ()):
            # The path as it came, or in its other form: one of the two is the canonical one.
            found = entry.pattern.match(path) or entry.pattern.match(_other_form(path))
            if found is not None:
                return entry, {
                    name: entry.convertors[name].convert(text) for name, text in found.groupdict().items()
                }
        for entry in self._open:
            found = entry.pattern.match(path)
            if found is not None:
                return entry, {
                    name: entry.convertors[name].convert(text) for name, text in found.groupdict().items()
                }
        return None

    @override
    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return a full match for every path that is known, whatever the method."""
        if scope["type"] != "http":
            return Match.NONE, {}
        found = scope[FOUND_KEY] if FOUND_KEY in scope else self.find(get_route_path(scope))
        if found is None:
            return (Match.FULL, {_ENTRY_KEY: None}) if self._complete else (Match.NONE, {})
        entry, parameters = found
        return Match.FULL, {_ENTRY_KEY: entry, TEMPLATE_KEY: entry.template, "path_params": parameters}

    @override
    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request to the route that ``matches`` found."""
        entry: _Entry | None = scope[_ENTRY_KEY]
        if entry is None:
            raise HTTPException(404)
        method = scope["method"]
        target = entry.targets.get(method)
        if target is None:
            if method == "OPTIONS":
                headers = {"Allow": f"{entry.allow}, OPTIONS"}
                if "QUERY" in entry.targets:
                    headers["Accept-Query"] = JSON_TYPE
                await Response(status_code=204, headers=headers)(scope, receive, send)
                return
            if method != "HEAD" or (target := entry.targets.get("GET")) is None:
                raise HTTPException(405, headers={"Allow": entry.allow})
            send = _without_body(send)
        scope["endpoint"] = target.endpoint
        scope["route"] = target.route
        await target.app(scope, receive, send)


def _depth(path: str) -> int:
    return path.count("/") - path.endswith("/")


def _other_form(path: str) -> str:
    return path[:-1] if path.endswith("/") and path != "/" else path + "/"


def _without_body(send: Send) -> Send:
    """Return a ``send`` that keeps to itself what a HEAD may not carry (RFC 9110, section 9.3.2)."""

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head


def install(app: FastAPI) -> PathTable:
    """Put a table of all routes before them, and return it. Routes that are added later are not in it."""
    table = PathTable(app.router.routes)
    app.router.redirect_slashes = False
    app.router.routes.insert(0, table)
    return table
