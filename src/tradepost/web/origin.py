"""Where a request came from: address, user agent and id, for services that keep them."""

from typing import Annotated

from fastapi import Depends
from starlette.types import Scope

from tradepost.core.principal import IP_ADDRESS_LENGTH, REQUEST_ID_LENGTH, USER_AGENT_LENGTH, Origin
from tradepost.web.asgi_scope import REQUEST_HEADERS_KEY, REQUEST_ID_KEY, FromScope


def origin_of(scope: Scope) -> Origin:
    """Return where a request came from. Of a user agent the printable characters are kept, and not too many of them."""
    client = scope.get("client")
    headers = scope.get(REQUEST_HEADERS_KEY)
    agent: bytes | None = (dict(scope["headers"]) if headers is None else headers).get(b"user-agent")
    request_id: str | None = scope.get(REQUEST_ID_KEY)
    return Origin(
        ip=str(client[0])[:IP_ADDRESS_LENGTH] if client else None,
        user_agent=None
        if agent is None
        else "".join(filter(str.isprintable, agent.decode("latin-1")))[:USER_AGENT_LENGTH],
        request_id=None if request_id is None else request_id[:REQUEST_ID_LENGTH],
    )


def _origin(scope: Scope) -> Origin:
    return origin_of(scope)


RequestOrigin = Annotated[Origin, Depends(FromScope(_origin))]
