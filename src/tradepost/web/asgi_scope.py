"""The keys under which ``web`` keeps what it knows of a request in its ASGI scope.

The scope is the one thing that the server, every layer, FastAPI and the endpoint share. Through it the layer that logs and
counts learns which route answered and which user asked, whichever of them gave the answer.
"""

from typing import Final

from starlette.types import Scope

REQUEST_ID_KEY: Final = "tradepost.request_id"
"""The request's id."""
REQUEST_HEADERS_KEY: Final = "tradepost.request_headers"
"""The request's headers by name; of a repeated one the last."""
ANSWER_HEADERS_KEY: Final = "tradepost.answer_headers"
"""Raw headers that the answer gets, be it a success or an error; see ``add_header``."""
BODY_KEY: Final = "tradepost.body"
"""The ``IncomingBody`` of a request that may be answered before its body has come."""
TEMPLATE_KEY: Final = "tradepost.template"
"""The path of the route that answers, with its parameters' names, as in the OpenAPI."""
USER_ID_KEY: Final = "tradepost.user_id"
"""The id of the user whose credentials the request showed."""
ERROR_CODE_KEY: Final = "tradepost.error_code"
"""The code of the problem that was answered."""
ENDLESS_KEY: Final = "tradepost.endless"
"""Is there when the answer goes on until the client leaves, so that the server need not wait for its end."""


def add_header(scope: Scope, name: bytes, value: bytes) -> None:
    """Give the answer of this request a header, be it a success or an error; ``name`` is in lower case."""
    scope.setdefault(ANSWER_HEADERS_KEY, []).append((name, value))
