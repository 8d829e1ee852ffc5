"""The router of every domain: what it declares is made once, in the application that it is added to.

FastAPI makes a route where it is declared, and once more for each prefix under which its router is included. To look at the
parameters of an endpoint is most of what an application costs to make, in time and in memory.
"""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, FastAPI
from typing_extensions import override

from tradepost.web.routing.route import Route


class Router(APIRouter):
    """Declares routes as ``APIRouter`` does, of the class ``Route``, and has none until it is added to an application."""

    def __init__(self, *, route_class: type[Route] = Route, **options: Any) -> None:
        """``options`` are ``prefix``, ``tags``, ``dependencies``, ``responses`` and ``include_in_schema`` of ``APIRouter``."""
        super().__init__(route_class=route_class, **options)
        self._declared: list[tuple[str, Callable[..., Any], dict[str, Any]]] = []

    @override
    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """Declare a route; the decorators call this."""
        self._declared.append((path, endpoint, options))

    def add_to(self, app: FastAPI, *, prefix: str = "") -> None:
        """Make the routes, their paths behind ``prefix``, in ``app``."""
        if self.routes:
            raise TypeError("what is no route of an endpoint, such as a mount, belongs into the application")
        made = APIRouter(
            prefix=prefix + self.prefix,
            tags=self.tags,
            dependencies=self.dependencies,
            responses=self.responses,
            include_in_schema=self.include_in_schema,
            route_class=self.route_class,
            generate_unique_id_function=app.router.generate_unique_id_function,
            default_response_class=app.router.default_response_class,
            dependency_overrides_provider=app,
        )
        for path, endpoint, options in self._declared:
            made.add_api_route(path, endpoint, **options)
        app.router.routes.extend(made.routes)
