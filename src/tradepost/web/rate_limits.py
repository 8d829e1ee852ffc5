"""Rate limits of routes, and the headers that tell a client about them.

``RateLimit-Policy: "login";q=10;w=60`` says the rule and ``RateLimit: "login";r=7;t=18`` where the client stands
(draft-ietf-httpapi-ratelimit-headers): seven left, all ten again in 18 seconds. Both are on every answer of a limited
route, errors too.
"""

import ipaddress
import math
from typing import Annotated, Final, Literal

from fastapi import Depends, Request
from starlette.types import Scope

from tradepost.core.errors import TooManyRequests
from tradepost.core.rate_limiter import RateLimiter
from tradepost.core.settings.settings import Rate, Settings
from tradepost.web.asgi_scope import add_header
from tradepost.web.db import resources_of

Policy = Literal["login", "register", "password"]
"""The limits of their own: ``RATE_LIMIT_LOGIN`` and so on."""

_IPV6_NETWORK: Final = 64
"""Bits of an IPv6 address that a customer cannot choose."""


def address_of(scope: Scope) -> str:
    """Return the key of a limit by address: an IPv4 address, or the /64 network of an IPv6 one.

    Behind a trusted proxy it is the client's own address: ``web.middleware.trusted_proxies`` has put it there.
    """
    client = scope.get("client")
    if not client:
        return "unknown"
    host = str(client[0])
    if ":" not in host:
        return host
    try:
        address = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), _IPV6_NETWORK), strict=False))


async def enforce(scope: Scope, limiter: RateLimiter, name: str, key: str, rate: Rate) -> None:
    """Count one request on ``key``, put the headers on its answer, or raise ``TooManyRequests``."""
    verdict = await limiter.hit(f"{name}:{key}", rate)
    # The window is in whole seconds; the one limit of less than a second would else be without a window.
    policy = f'"{name}";q={rate.limit};w={max(1, round(rate.seconds))}'
    state = f'"{name}";r={verdict.remaining};t={math.ceil(verdict.reset_after)}'
    add_header(scope, b"ratelimit-policy", policy.encode("ascii"))
    add_header(scope, b"ratelimit", state.encode("ascii"))
    if not verdict.allowed:
        raise TooManyRequests(retry_after=max(1, math.ceil(verdict.retry_after)))


class Limits:
    """The limits of one request: ``await limits("login", key)``."""

    def __init__(self, scope: Scope, limiter: RateLimiter, settings: Settings) -> None:
        self._scope = scope
        self._limiter = limiter
        self._settings = settings

    @property
    def address(self) -> str:
        """The key of a limit by address."""
        return address_of(self._scope)

    async def __call__(self, policy: Policy, key: str, *, name: str | None = None) -> None:
        """Count this request on ``key``; raises ``TooManyRequests``. Nothing is limited when settings say so.

        ``name`` is the policy's name in the headers, for a route that is limited by two.
        """
        if self._settings.RATE_LIMIT_ENABLED:
            rate: Rate = getattr(self._settings, f"RATE_LIMIT_{policy.upper()}")
            await enforce(self._scope, self._limiter, name or policy, key, rate)


async def _limits(request: Request) -> Limits:
    resources = resources_of(request)
    return Limits(request.scope, resources[RateLimiter], resources.settings)


Limited = Annotated[Limits, Depends(_limits)]
