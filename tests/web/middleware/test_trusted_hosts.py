from typing import Any

import pytest

from tests.web.apps import caller, new_app, new_router

router = new_router()


@router.get("/hello")
async def hello() -> str:
    return "hello"


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
