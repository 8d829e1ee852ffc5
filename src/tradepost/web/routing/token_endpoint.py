"""Token endpoints: routes that stock clients of OAuth 2 (RFC 6749) know how to ask."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

_MARK: Final = "__token_endpoint__"


def token_endpoint(endpoint: Endpoint) -> Endpoint:
    """Have an endpoint's errors bear OAuth 2's names too, and, if it takes JSON, let it be asked by a form. Below the route's decorator."""
    setattr(endpoint, _MARK, True)
    return endpoint


def is_token_endpoint(endpoint: Callable[..., Any]) -> bool:
    """Tell whether an endpoint is marked so."""
    return getattr(endpoint, _MARK, False)
