from typing import Any

import pytest

from tests.web.apps import Lines, caller, new_app, new_router

router = new_router()


@router.get("/bug")
async def bug() -> None:
    raise RuntimeError


@router.get("/hello")
async def hello() -> str:
    return "hello"


CORS: dict[str, Any] = {"BACKEND_CORS_ORIGINS": ["https://app.example.com"]}
ORIGIN = {"Origin": "https://app.example.com"}


@pytest.mark.parametrize("path", ["/api/v1/hello", "/nowhere", "/api/v1/bug"])
async def test_our_origin_may_read_answers_and_errors(path: str) -> None:
    async with caller(new_app(router, **CORS)) as client:
        headers = (await client.get(path, headers=ORIGIN)).headers
        assert headers["access-control-allow-origin"] == "https://app.example.com"
        assert headers["access-control-allow-credentials"] == "true"
        exposed = headers["access-control-expose-headers"].split(", ")
        assert {
            "X-Request-ID",
            "X-Total-Count",
            "Link",
            "ETag",
            "RateLimit",
            "RateLimit-Policy",
            "Retry-After",
        } <= set(exposed)
        assert "Origin" in headers["vary"]


@pytest.mark.parametrize(
    "origin",
    [{}, {"Origin": "https://evil.com"}, {"Origin": "https://app.example.com.evil.com"}, {"Origin": "null"}],
)
async def test_others_may_not_and_caches_are_told_why(origin: dict[str, str]) -> None:
    async with caller(new_app(router, **CORS)) as client:
        response = await client.get("/api/v1/hello", headers=origin)
        assert response.status_code == 200
        assert not [name for name in response.headers if name.startswith("access-control")]
        assert "Origin" in response.headers["vary"].split(", ")


async def test_preflights() -> None:
    lines = Lines()
    async with caller(new_app(router, lines=lines, **CORS)) as client:
        asked = {
            **ORIGIN,
            "Access-Control-Request-Method": "PATCH",
            "Access-Control-Request-Headers": "authorization, if-match, x-anything-else",
        }
        allowed = await client.options("/api/v1/hello", headers=asked)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://app.example.com"
        asked_for = {name.strip() for name in allowed.headers["access-control-allow-headers"].split(",")}
        assert {"authorization", "if-match", "x-anything-else"} <= asked_for
        assert "PATCH" in allowed.headers["access-control-allow-methods"]
        assert "x-request-id" in allowed.headers
        for wrong in (
            {"Origin": "https://evil.com"},
            {"Access-Control-Request-Method": "BREW"},
        ):
            refused = await client.options("/api/v1/hello", headers={**asked, **wrong})
            assert (refused.status_code, refused.json()["error_code"]) == (400, "HTTP_400")
            assert refused.json()["detail"].startswith("Disallowed CORS ")
            assert "access-control-allow-origin" not in refused.headers
            assert "Origin" in refused.headers["vary"]
    assert len(lines) == 3


async def test_an_options_that_is_no_preflight_names_the_methods() -> None:
    async with caller(new_app(router, **CORS)) as client:
        response = await client.options("/api/v1/hello", headers=ORIGIN)
        assert (response.status_code, response.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
        assert response.headers["access-control-allow-origin"] == "https://app.example.com"


async def test_without_origins_nothing_is_said_of_them() -> None:
    async with caller(new_app(router)) as client:
        headers = (await client.get("/api/v1/hello", headers=ORIGIN)).headers
        assert "Origin" not in headers.get("vary", "")
        assert "access-control-allow-origin" not in headers
