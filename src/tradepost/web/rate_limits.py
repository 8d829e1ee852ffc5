"""Rate limits of routes, and the headers that tell a client about them.

``RateLimit-Policy: "login";q=10;w=60`` says the rule and ``RateLimit: "login";r=7;t=18`` where the client stands
(draft-ietf-httpapi-ratelimit-headers): seven left, all ten again in 18 seconds. Both are on every answer that was counted,
errors too. ``;pp`` at the end of a policy says that each process counts for itself: there is no Redis, or it is away.
"""

import ipaddress
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Final, Literal

from fastapi import Depends, Request
from starlette.types import Scope

from tradepost.core.errors import TooManyRequests
from tradepost.core.principal import Principal
from tradepost.core.rate_limiter import RateLimiter
from tradepost.core.settings.settings import Rate, Settings
from tradepost.web.asgi_scope import LIMIT_KEY, REQUEST_HEADERS_KEY, add_header
from tradepost.web.askers import Askers
from tradepost.web.db import resources_of

Policy = Literal["login", "register", "password"]
"""The limits of their own: ``RATE_LIMIT_LOGIN`` and so on."""

API_KEY_HEADER: Final = b"x-api-key"
"""The header that shows an API key."""

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
    state = f'"{name}";r={verdict.remaining};t={math.ceil(verdict.reset_after)}'
    add_header(scope, b"ratelimit-policy", _policy(name, rate, verdict.is_shared))
    add_header(scope, b"ratelimit", state.encode("ascii"))
    if not verdict.allowed:
        scope[LIMIT_KEY] = name
        raise TooManyRequests(retry_after=max(1, math.ceil(verdict.retry_after)))


@lru_cache(maxsize=1_024)
def _policy(name: str, rate: Rate, is_shared: bool) -> bytes:  # noqa: FBT001 - a part of the key
    # The window is in whole seconds; the one limit of less than a second would else be without a window.
    policy = f'"{name}";q={rate.limit};w={max(1, round(rate.seconds))}'
    return (policy if is_shared else f"{policy};pp").encode("ascii")


@dataclass(frozen=True, slots=True)
class Quota:
    """What a request counts on: the policy's name in the headers, the key of the limiter, and the rate."""

    name: str
    key: str
    rate: Rate


_rate_of = lru_cache(maxsize=1_024)(Rate.parse)


def quota_of(scope: Scope, principal: Principal | None, settings: Settings) -> Quota | None:
    """Return what a request counts on, None for nothing: the one place that says so.

    A person has one quota however many log-ins, each API key its own, at its own rate where it was given one; a load test's
    key has none. A stranger's is that of the address.
    """
    rate = settings.RATE_LIMIT_DEFAULT
    key = None if principal is None else principal.key
    if key is not None:
        if key.lifts_limits:
            return None
        rate = rate if key.rate_limit is None else _rate_of(key.rate_limit)
        return None if rate is None else Quota("key", str(key.id), rate)
    if rate is None:
        return None
    by = f"address {address_of(scope)}" if principal is None else f"person {principal.user_id}"
    return Quota("default", by, rate)


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
        if self._settings.RATE_LIMIT_ENABLED and not await self._is_exempt():
            rate: Rate = getattr(self._settings, f"RATE_LIMIT_{policy.upper()}")
            await enforce(self._scope, self._limiter, name or policy, key, rate)

    async def _is_exempt(self) -> bool:
        if API_KEY_HEADER not in self._scope[REQUEST_HEADERS_KEY]:
            return False
        asker = await self._scope["state"]["resources"][Askers].find(self._scope)
        return asker is not None and asker.key is not None and asker.key.lifts_limits


async def _limits(request: Request) -> Limits:
    resources = resources_of(request)
    return Limits(request.scope, resources[RateLimiter], resources.settings)


Limited = Annotated[Limits, Depends(_limits)]
