from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import httpx
import pytest
from fastapi import Request
from pydantic import BaseModel

from tests.web.apps import Lines, caller, new_app, new_router

router = new_router()
meta = new_router()


class Text(BaseModel):
    text: str


@router.post("/texts")
async def take(text: Text) -> int:
    return len(text.text)


@router.post("/upload/file")
async def upload(request: Request) -> int:
    return sum([len(chunk) async for chunk in request.stream()])


@router.get("/bug")
async def bug() -> None:
    raise RuntimeError


@router.get("/hello")
async def hello() -> str:
    return "hello"


# --- hosts ------------------------------------------------------------------------------------------------------------

HOSTS: dict[str, Any] = {"ALLOWED_HOSTS": ["shop.example.com", "*.shop.example.org", "[2001:db8::1]"]}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("shop.example.com", 200),
        ("SHOP.example.COM:8080", 200),
        ("shop.example.com.", 200),
        ("a.shop.example.org", 200),
        ("a.b.shop.example.org:1", 200),
        ("[2001:db8::1]:8000", 200),
        ("shop.example.org", 400),
        ("evilshop.example.org", 400),
        ("example.com", 400),
        ("shop.example.com.evil.com", 400),
        ("shop.example.com@evil.com", 400),
        ("evil.com/shop.example.com", 400),
        ("evil.com/.shop.example.org", 400),
        ("shop.example.com:80:80", 400),
        ("shop.example.com:abc", 400),
        ("", 400),
        ("a b.shop.example.org", 400),
    ],
)
async def test_only_our_hosts_are_answered_for(host: str, status: int) -> None:
    async with caller(new_app(router, **HOSTS)) as client:
        response = await client.get("/api/v1/hello", headers={"Host": host})
        assert response.status_code == status
        if status == 400:
            assert response.json()["detail"] == "Invalid host header"
            assert response.headers["x-content-type-options"] == "nosniff"


async def test_two_hosts_are_none() -> None:
    async with caller(new_app(router, **HOSTS)) as client:
        headers = [("Host", "shop.example.com"), ("Host", "evil.com")]
        assert (await client.get("/api/v1/hello", headers=headers)).status_code == 400


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health", "/metrics"])
async def test_probes_come_by_address(path: str) -> None:
    async with caller(new_app(router, **HOSTS)) as client:
        # Nobody is at these paths here, and that is what the answer is about.
        assert (await client.get(path, headers={"Host": "10.0.0.7:8000"})).status_code == 404


async def test_any_host_will_do_when_nothing_is_set() -> None:
    async with caller(new_app(router)) as client:
        assert (await client.get("/api/v1/hello", headers={"Host": "whatever"})).status_code == 200


async def test_hosts_that_are_remembered_have_an_end() -> None:
    app = new_app(router, **HOSTS)
    async with caller(app) as client:
        for number in range(1100):
            assert (await client.get("/", headers={"Host": f"h{number}.shop.example.org"})).status_code == 404
        assert (await client.get("/", headers={"Host": "more.shop.example.org"})).status_code == 404
        assert (await client.get("/", headers={"Host": "evil.com"})).status_code == 400


# --- other origins ----------------------------------------------------------------------------------------------------

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
        assert response.headers["vary"] == "Origin"


async def test_preflights() -> None:
    lines = Lines()
    async with caller(new_app(router, lines=lines, **CORS)) as client:
        asked = {
            **ORIGIN,
            "Access-Control-Request-Method": "PATCH",
            "Access-Control-Request-Headers": "authorization, if-match",
        }
        allowed = await client.options("/api/v1/hello", headers=asked)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://app.example.com"
        assert "PATCH" in allowed.headers["access-control-allow-methods"]
        assert "x-request-id" in allowed.headers
        for wrong in (
            {"Origin": "https://evil.com"},
            {"Access-Control-Request-Method": "BREW"},
            {"Access-Control-Request-Headers": "x-odd"},
        ):
            refused = await client.options("/api/v1/hello", headers={**asked, **wrong})
            assert (refused.status_code, refused.json()["error_code"]) == (400, "HTTP_400")
            assert refused.json()["detail"].startswith("Disallowed CORS ")
            assert "access-control-allow-origin" not in refused.headers
            assert "Origin" in refused.headers["vary"]
    assert len(lines) == 4


async def test_an_options_that_is_no_preflight_is_a_method_like_any_other() -> None:
    async with caller(new_app(router, **CORS)) as client:
        response = await client.options("/api/v1/hello", headers=ORIGIN)
        assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")
        assert response.headers["access-control-allow-origin"] == "https://app.example.com"


async def test_without_origins_nothing_is_said_of_them() -> None:
    async with caller(new_app(router)) as client:
        headers = (await client.get("/api/v1/hello", headers=ORIGIN)).headers
        assert "vary" not in headers
        assert "access-control-allow-origin" not in headers


# --- bodies -----------------------------------------------------------------------------------------------------------

LIMITS: dict[str, Any] = {"MAX_BODY_BYTES": 1000, "larger_bodies": {"/api/v1/upload/": 5000}}


async def chunked(size: int, piece: int = 100) -> AsyncIterator[bytes]:
    for _ in range(size // piece):
        yield b"x" * piece


async def test_a_body_within_the_limit_is_taken() -> None:
    async with caller(new_app(router, **LIMITS)) as client:
        content = b'{"text": "%s"}' % (b"x" * 988)
        assert len(content) == 1000
        headers = {"content-type": "application/json"}
        assert (await client.post("/api/v1/texts", content=content, headers=headers)).json() == 988
        assert (await client.post("/api/v1/upload/file", content=b"x" * 5000)).json() == 5000
        assert (await client.post("/api/v1/upload/file", content=chunked(5000))).json() == 5000


def assert_too_large(response: httpx.Response) -> None:
    assert (response.status_code, response.json()["error_code"]) == (413, "HTTP_413")
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["connection"] == "close"


@pytest.mark.parametrize(("path", "size"), [("texts", 1001), ("upload/file", 5001), ("nowhere", 1001)])
async def test_a_larger_one_is_refused_before_it_is_read(path: str, size: int) -> None:
    """And then read after all, so that who is still sending it gets to read the answer."""
    happened: list[str] = []
    app = new_app(router, **LIMITS)
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": f"/api/v1/{path}",
        "query_string": b"",
        "headers": [(b"host", b"testserver"), (b"content-length", b"%d" % size)],
    }

    async def receive() -> dict[str, Any]:
        happened.append("read")
        return {"type": "http.request", "body": b"x" * size, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            happened.append(str(message["status"]))
            assert (b"connection", b"close") in message["headers"]
        else:
            happened.append(f"body, {'more' if message['more_body'] else 'end'}")

    await app(scope, receive, send)
    assert happened == ["413", "body, more", "read", "body, end"]


async def test_one_that_does_not_say_is_cut_off_at_the_limit() -> None:
    async with caller(new_app(router, **LIMITS)) as client:
        headers = {"content-type": "application/json"}
        assert_too_large(await client.post("/api/v1/texts", content=chunked(100_000), headers=headers))
        assert_too_large(await client.post("/api/v1/upload/file", content=chunked(100_000)))


@pytest.mark.parametrize(("length", "status"), [("9" * 5000, 413), ("-1", 400), ("1e3", 400), ("", 400)])
async def test_odd_lengths(length: str, status: int) -> None:
    async with caller(new_app(router, **LIMITS)) as client:
        response = await client.post(
            "/api/v1/texts", content=chunked(100), headers={"content-length": length}
        )
        assert response.status_code == status
