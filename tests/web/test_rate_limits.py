from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from tests.web.apps import caller, new_app, new_router
from tradepost.core.clock import SystemClock
from tradepost.core.errors import RuleBroken
from tradepost.core.rate_limiter import LocalRateLimiter, RateLimiter
from tradepost.core.settings.settings import Settings
from tradepost.web.rate_limits import Limited, address_of

router = new_router()


@router.post("/login/{name}")
async def login(name: str, limited: Limited) -> str:
    await limited("login", f"{name}|{limited.address}")
    if name == "wrong":
        raise RuleBroken
    return name


@router.post("/register")
async def register(limited: Limited) -> str:
    await limited("register", limited.address)
    await limited("password", limited.address)
    return "welcome"


class Parts(SimpleNamespace):
    """What the routes need of ``Resources``."""

    settings: Settings

    def __getitem__(self, kind: type[Any]) -> Any:
        assert kind is RateLimiter
        return self.limiter


def with_parts(app: FastAPI, **values: Any) -> Any:
    parts = Parts(settings=Settings(**values), limiter=LocalRateLimiter(SystemClock()))

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {"resources": parts}
        await app(scope, receive, send)

    return call


@asynccontextmanager
async def limited_caller(**values: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with caller(with_parts(new_app(router), **values)) as client:
        yield client


async def test_every_answer_says_where_the_client_stands() -> None:
    async with limited_caller(RATE_LIMIT_LOGIN="3/60s") as client:
        stands = []
        for _ in range(3):
            response = await client.post("/api/v1/login/me")
            assert response.status_code == 200
            assert response.headers["ratelimit-policy"] == '"login";q=3;w=60;pp'
            stands.append(response.headers["ratelimit"])
        assert stands == ['"login";r=2;t=20', '"login";r=1;t=40', '"login";r=0;t=60']


async def test_the_one_too_many_is_429() -> None:
    async with limited_caller(RATE_LIMIT_LOGIN="1/60s") as client:
        await client.post("/api/v1/login/me")
        response = await client.post("/api/v1/login/me")
        assert response.status_code == 429
        assert (response.json()["detail"], response.json()["error_code"]) == (
            "Rate limit exceeded",
            "RATE_LIMITED",
        )
        assert response.headers["retry-after"] == "60"
        assert response.headers["ratelimit"] == '"login";r=0;t=60'
        assert (await client.post("/api/v1/login/you")).status_code == 200


async def test_errors_say_it_too() -> None:
    async with limited_caller() as client:
        response = await client.post("/api/v1/login/wrong")
        assert response.status_code == 400
        assert response.headers["ratelimit"].startswith('"login";r=9;t=')


async def test_two_limits_on_one_answer() -> None:
    async with limited_caller() as client:
        response = await client.post("/api/v1/register")
        assert response.headers.get_list("ratelimit-policy") == [
            '"register";q=20;w=3600;pp',
            '"password";q=5;w=3600;pp',
        ]


async def test_limits_can_be_lifted() -> None:
    async with limited_caller(RATE_LIMIT_ENABLED=False, RATE_LIMIT_LOGIN="1/60s") as client:
        for _ in range(5):
            response = await client.post("/api/v1/login/me")
            assert response.status_code == 200
            assert "ratelimit" not in response.headers


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (("192.0.2.7", 1), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::/64"),
        (("2001:db8:1:2::", 1), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 1), "fe80::/64"),
        (("::ffff:192.0.2.7", 1), "192.0.2.7"),
        (("a:b", 1), "a:b"),
        (("testclient", 1), "testclient"),
        (None, "unknown"),
    ],
)
def test_whom_a_limit_by_address_counts(client: tuple[str, int] | None, address: str) -> None:
    scope: Mapping[str, Any] = {"client": client}
    assert address_of(dict(scope)) == address
    assert address_of({}) == "unknown"
