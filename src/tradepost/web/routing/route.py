"""The route class of every router: nothing malformed gets as far as a schema."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi import params
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import override

from tradepost.core.idempotency.claim import Claim, Replayed
from tradepost.core.idempotency.keys import IdempotencyKeys
from tradepost.web.asgi_scope import CLAIM_KEY, TOKEN_ENDPOINT_KEY
from tradepost.web.bodies.checked_request import CheckedRequest, accept_form, accept_grant, accept_json
from tradepost.web.db import resources_of
from tradepost.web.idempotency import Form, form_of, kept_of, replay, shown_once
from tradepost.web.routing.query_names import QueryNames, takes_any_query
from tradepost.web.routing.token_endpoint import is_token_endpoint
from tradepost.web.urlencoded import check_path, checked_query

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Route(APIRoute):
    """A route that refuses what is malformed: 415 for a body of another kind, 422 for text that is none.

    The body, when the route declares one, must be JSON (or a form) and say so; an empty one needs no type. Query, path
    and form fields must be UTF-8 without NUL: a database would refuse them with an error of its own. Query parameters
    must be known to the endpoint, unless it is marked with ``any_query``.
    """

    refuses_unknown_queries = True

    @override
    def get_route_handler(self) -> Handler:
        """Return FastAPI's handler behind the checks of this class."""
        handler = super().get_route_handler()
        read = self._body_reader()
        refuses = self.refuses_unknown_queries and not takes_any_query(self.endpoint)
        names = QueryNames(self.dependant) if refuses else None

        if "POST" in (self.methods or ()) and form_of(self.dependant) is Form.TRANSACTION:
            handler = _once(handler, hidden=shown_once(self.response_model))

        gives_tokens = is_token_endpoint(self.endpoint)

        async def handle(request: Request) -> Response:
            scope = request.scope
            if gives_tokens:
                scope[TOKEN_ENDPOINT_KEY] = True
            if scope["query_string"]:
                query = checked_query(scope["query_string"])
                scope["query_string"] = query if names is None else names.judged(query)
            if scope["path_params"]:
                check_path(scope)
            if read is None:
                return await handler(request)
            checked = CheckedRequest(scope, request.receive)
            await read(checked)
            return await handler(checked)

        return handle

    def _body_reader(self) -> Callable[[CheckedRequest], Awaitable[None]] | None:
        if self.body_field is None:
            return None
        if isinstance(self.body_field.field_info, params.Form):
            return accept_form
        return accept_grant if is_token_endpoint(self.endpoint) else accept_json


def _once(handler: Handler, *, hidden: frozenset[str]) -> Handler:
    """Have a handler's answer kept under the key of its request, in the transaction that the handler's work is done in.

    FastAPI commits that transaction after the handler, and before the answer is sent. What did not succeed is not kept.
    """

    async def handle(request: Request) -> Response:
        claim: Claim | None = request.scope.get(CLAIM_KEY)
        if claim is None:
            return await handler(request)
        try:
            response = await handler(request)
        except Replayed as earlier:
            claim.replayed = True
            return replay(earlier.kept)
        if claim.db is not None:
            keys = resources_of(request)[IdempotencyKeys]
            kept = kept_of(response, hidden=hidden)
            await (keys.forget(claim.db, claim) if kept is None else keys.keep(claim.db, claim, kept))
        return response

    return handle


class OpenRoute(Route):
    """A route of pages and probes, which are asked with parameters of others' making: unknown ones are ignored."""

    refuses_unknown_queries = False
