"""Proxies that are believed, and everybody else, who is not: addresses, schemes, hosts, prefixes, and limits by address."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from starlette.types import Receive, Scope, Send

from tests.web.apps import caller, new_app, new_router
from tests.web.test_rate_limits import router as limited_router
from tests.web.test_rate_limits import with_parts
from tradepost.core.settings.settings import Settings
from tradepost.core.wire.pagination import Page
from tradepost.web import docs
from tradepost.web.middleware.exchange import Exchange
from tradepost.web.middleware.trusted_proxies import TrustedProxies
from tradepost.web.routing.lists import PlainWindow, RequestScope, array_answer

PROXIES: dict[str, Any] = {"TRUSTED_PROXIES": "10.0.0.0/8, fd00::/8, ::ffff:172.16.0.0/108, 192.0.2.7"}
REPORT = {
    "X-Forwarded-For": "203.0.113.5:4711",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "shop.example.com",
    "X-Forwarded-Prefix": "/shop/",
}
router = new_router()


@router.get("/seen/{thing}")
async def seen(request: Request, thing: str, q: int) -> dict[str, Any]:
    scope = request.scope
    return {
        "client": scope["client"],
        "asked": [thing, q],
        "url": str(request.url),
        "root_path": scope["root_path"],
        "raw_path": scope["raw_path"].decode(),
        "hosts": request.headers.getlist("host"),
    }


@router.get("/list")
async def listed(scope: RequestScope, window: PlainWindow) -> Response:
    return array_answer(Page(rows=[b"1"], total=3, window=window, next_cursor="AbC"), scope)


def new_documented_app(**values: Any) -> FastAPI:
    settings = Settings(**{"_env_file": None, **values})
    return new_app(router, extend=lambda app: docs.build_router(app, settings).add_to(app), **values)


async def seen_by(peer: Any, headers: dict[str, str], **values: Any) -> dict[str, Any]:
    async with caller(new_app(router, **{**PROXIES, **values}), client=peer) as client:
        answer = await client.get("/api/v1/seen/a%20b?q=1", headers=headers)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.mark.parametrize(
    "peer",
    [
        "10.1.2.3",
        "::ffff:10.1.2.3",
        "fd00::1",
        "fd00::1%eth0",
        "172.31.0.1",
        "::ffff:172.16.0.1",
        "192.0.2.7",
    ],
)
async def test_a_trusted_proxy_is_believed(peer: str) -> None:
    assert await seen_by((peer, 1), REPORT) == {
        "client": ["203.0.113.5", 4711],
        "asked": ["a b", 1],
        "url": "https://shop.example.com/shop/api/v1/seen/a b?q=1",
        "root_path": "/shop",
        "raw_path": "/shop/api/v1/seen/a%20b",
        "hosts": ["shop.example.com"],
    }


@pytest.mark.parametrize(
    "peer", [("203.0.113.9", 1), ("11.0.0.1", 1), ("2001:db8::1", 1), ("/run/x.sock", 0), ("", 0), None]
)
async def test_anybody_else_is_not(peer: Any) -> None:
    forwarded = {"Forwarded": "for=203.0.113.5;proto=https;host=shop.example.com"}
    for headers in (REPORT, forwarded, REPORT | forwarded):
        found = await seen_by(peer, headers)
        assert found["client"] == (list(peer) if peer else None)
        assert found["url"].startswith("http://testserver/api/v1/seen/")
        assert (found["root_path"], found["hosts"]) == ("", ["testserver"])


async def test_garbage_from_a_proxy_changes_nothing() -> None:
    garbage = {
        "X-Forwarded-For": "unix:",
        "X-Forwarded-Proto": "javascript",
        "X-Forwarded-Host": "a/b@c",
        "X-Forwarded-Prefix": "//evil",
    }
    for headers in (garbage, {"Forwarded": 'for="";;=,,"'}, dict.fromkeys(REPORT, "\xff" * 3000)):
        raw = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
        found = await seen_by(("10.0.0.1", 9), raw)  # type: ignore[arg-type]  # bytes, as a socket would bring them
        assert found["client"] == ["10.0.0.1", 9]
        assert (found["url"][:24], found["root_path"]) == ("http://testserver/api/v1", "")


def test_without_the_setting_there_is_no_such_layer() -> None:
    assert isinstance(new_app(router, OVERLOAD_CONTROL=False).middleware_stack, Exchange)
    assert isinstance(new_app(router, **PROXIES, OVERLOAD_CONTROL=False).middleware_stack, TrustedProxies)


async def test_a_path_that_begins_like_its_prefix() -> None:
    """Behind `/api`, the path `/api/v1/…` is one of which `/api` was taken off already."""
    found = await seen_by(("10.0.0.1", 1), {"X-Forwarded-Prefix": "/api"})
    assert found["url"] == "http://testserver/api/api/v1/seen/a b?q=1"


async def test_links_and_documents_lead_outside() -> None:
    async with caller(new_documented_app(**PROXIES), client=("10.0.0.1", 1)) as client:
        links = (await client.get("/api/v1/list?skip=0&limit=1", headers=REPORT)).headers["link"]
        assert '<https://shop.example.com/shop/api/v1/list?limit=1&cursor=AbC>; rel="next"' in links
        assert "testserver" not in links
        page = (await client.get("/docs", headers=REPORT)).text
        assert 'data-openapi="/shop/api/v1/openapi.json"' in page
        assert 'src="/shop/docs/' in page
        document = (await client.get("/api/v1/openapi.json", headers=REPORT)).json()
        assert document["servers"][0]["url"] == "/shop"
        assert (await client.get("/api/v1/openapi.json")).json()["servers"][0]["url"] == "/"


async def test_the_path_of_the_public_url_stands_in_for_a_prefix_that_no_proxy_tells() -> None:
    app = new_documented_app(**PROXIES, PUBLIC_URL="https://example.com/market")
    async with caller(app, client=("10.0.0.1", 1)) as client:
        assert 'data-openapi="/market/api/v1/openapi.json"' in (await client.get("/docs")).text
        assert (await client.get("/api/v1/openapi.json")).json()["servers"][0]["url"] == "/market"
        assert 'src="/shop/docs/' in (await client.get("/docs", headers=REPORT)).text


async def test_hosts_and_larger_bodies_are_judged_without_the_prefix() -> None:
    values = {**PROXIES, "ALLOWED_HOSTS": "shop.example.com", "MAX_BODY_BYTES": 10}
    upload = new_router()

    @upload.post("/upload")
    async def take(request: Request) -> int:
        return len(await request.body())

    async def livez() -> str:
        return "alive"

    app = new_app(
        upload, larger_bodies={"/api/v1/upload": 100}, extend=lambda app: app.get("/livez")(livez), **values
    )
    async with caller(app, client=("10.0.0.1", 1)) as client:
        assert (await client.post("/api/v1/upload", content=b"x" * 50, headers=REPORT)).json() == 50
        refused = await client.post(
            "/api/v1/upload", content=b"x" * 50, headers=REPORT | {"X-Forwarded-Host": "evil"}
        )
        assert (refused.status_code, refused.json()["detail"]) == (400, "Invalid host header")
        assert (await client.get("/livez", headers={"X-Forwarded-Prefix": "/shop"})).status_code == 200


async def attempts(client: httpx.AsyncClient, number: int, **headers: str) -> list[int]:
    return [(await client.post("/api/v1/login/me", headers=headers)).status_code for _ in range(number)]


async def test_people_behind_one_proxy_do_not_share_a_limit() -> None:
    values = {**PROXIES, "RATE_LIMIT_LOGIN": "2/60s"}
    app = with_parts(new_app(limited_router, **values), **values)
    async with caller(app, client=("10.0.0.1", 1)) as client:
        for person in range(1, 8):
            found = await attempts(client, 3, **{"X-Forwarded-For": f"203.0.113.{person}"})
            assert found == [200, 200, 429], person
        # One person, whatever stands before the address that the proxy saw.
        for forged in ("198.51.100.1", "10.9.9.9", "unknown", "x"):
            assert await attempts(client, 1, **{"X-Forwarded-For": f"{forged}, 203.0.113.1"}) == [429]
        # One customer has a /64.
        assert await attempts(client, 1, Forwarded='for="[2001:db8::1]"') == [200]
        assert await attempts(client, 1, Forwarded='for="[2001:db8::1:2]:80"') == [200]
        assert await attempts(client, 1, Forwarded='for="[2001:db8::3]"') == [429]


async def test_a_stranger_does_not_get_another_limit_by_a_header() -> None:
    values = {**PROXIES, "RATE_LIMIT_LOGIN": "2/60s"}
    app = with_parts(new_app(limited_router, **values), **values)
    async with caller(app, client=("203.0.113.9", 1)) as client:
        found = [
            (
                await attempts(
                    client, 1, **{"X-Forwarded-For": f"198.51.100.{at}", "Forwarded": f"for=198.51.100.{at}"}
                )
            )[0]
            for at in range(4)
        ]
    assert found == [200, 200, 429, 429]


async def test_what_is_no_request_passes() -> None:
    passed: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        passed.append(scope["type"])

    async def nothing(*_: Any) -> Any:
        return {}

    await TrustedProxies(app, ["10.0.0.0/8"])({"type": "lifespan"}, nothing, nothing)
    assert passed == ["lifespan"]


@pytest.mark.parametrize(
    ("peer", "expected"),
    [("10.1.2.3", "203.0.113.5"), ("198.51.100.9", "198.51.100.9"), ("fd00::1", "203.0.113.5")],
)
async def test_the_address_can_be_asked_for_before_anything_is_changed(peer: str, expected: str) -> None:
    layer = TrustedProxies(new_app(router), PROXIES["TRUSTED_PROXIES"].split(", "))
    headers = [(name.lower().encode(), value.encode()) for name, value in REPORT.items()]
    scope: Scope = {"client": (peer, 1), "headers": headers, "path": "/seen"}
    assert layer.address(scope) == expected
    assert scope == {"client": (peer, 1), "headers": headers, "path": "/seen"}
    assert layer.address({"client": None, "headers": headers}) == "unknown"
