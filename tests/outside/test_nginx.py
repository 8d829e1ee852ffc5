"""Tradepost below `/shop/` of a real nginx that is set up as docs/operations.md says: it knows the outside by it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.flows.live import API, PASSWORD, ROOT, LiveServer, environment, eventually, join, serving
from tests.outside import nginx

pytestmark = pytest.mark.skipif(nginx.BINARY is None, reason="needs nginx (Debian: apt-get install nginx)")

DOCUMENTED = re.search(
    r"```nginx\nlocation /shop/ \{\n(.*?)^\}\n```",
    (ROOT / "docs/operations.md").read_text(encoding="utf-8"),
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Shop:
    """A server, and the nginx in front of it."""

    server: LiveServer
    port: int

    @property
    def url(self) -> str:
        """Where people find it."""
        return f"http://localhost:{self.port}/shop"

    def person(self, address: str = "203.0.113.1", **headers: str) -> httpx.AsyncClient:
        """Return a client that nginx sees under this address."""
        return httpx.AsyncClient(
            base_url=self.url, headers={"X-Test-Client": address, **{k.replace("_", "-"): v for k, v in headers.items()}},
            timeout=30.0,
        )  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    assert DOCUMENTED is not None
    directory: Path = tmp_path_factory.mktemp("shop")
    env = environment(
        directory, f"sqlite:///{directory}/shop.db", RATE_LIMIT_ENABLED="true", RATE_LIMIT_LOGIN="2/1h",
        RATE_LIMIT_PASSWORD="2/1h", RATE_LIMIT_REGISTER="1000/1h", TRUSTED_PROXIES="127.0.0.1",
    )  # fmt: skip
    with serving(env) as server:
        location = DOCUMENTED[1].replace("http://127.0.0.1:8000/", f"{server.url}/")
        assert server.url in location
        with nginx.running(location) as port:
            yield Shop(server, port)


@pytest.fixture(autouse=True)
async def _ready(shop: Shop) -> None:
    await shop.server.ready()


async def test_pages_documents_and_links_lead_outside(shop: Shop) -> None:
    async with shop.person() as client:
        page = (await client.get("/docs")).text
        for address in re.findall(r'(?:href|src|data-openapi)="([^"]+)"', page):
            assert address.startswith("/shop/")
            answer = await client.get(f"http://localhost:{shop.port}{address}")
            assert answer.status_code == 200, address
        document = (await client.get(f"{API}/openapi.json")).json()
        assert document["servers"][0]["url"] == "/shop"
        assert (await client.get("/")).json()["documentation"] == "/shop/docs"
        page = (await client.get("/account/reset-password")).text
        assert 'data-api="/shop/api/v1"' in page
        for address in re.findall(r'(?:href|src)="(/[^"]+)"', page):
            assert (await client.get(f"http://localhost:{shop.port}{address}")).status_code == 200


async def test_e_mails_are_read_below_the_prefix(shop: Shop) -> None:
    async with shop.person() as client:
        client.base_url = httpx.URL(f"{shop.url}{API}")
        await join(client, "reader@example.com")
        outside = f"http://localhost:{shop.port}"

        async def are_listed() -> bool:
            return "/shop/dev/mails/" in (await client.get(f"{shop.url}/dev/mails")).text

        await eventually(are_listed)
        (name,) = re.findall(
            r'href="(/shop/dev/mails/[^"]+)"', (await client.get(f"{shop.url}/dev/mails")).text
        )[:1]
        page = (await client.get(outside + name)).text
        assert 'href="/shop/dev/mails"' in page
        assert (await client.get(f"{outside}{name}/html")).status_code == 200
        assert f'src="{name}/html"' in page


async def test_a_list_is_walked_along_its_links(shop: Shop) -> None:
    async with shop.person() as client:
        client.base_url = httpx.URL(f"{shop.url}{API}")
        account = await join(client, "links@example.com")
        client.headers["Authorization"] = f"Bearer {account.token}"
        for title in "ABC":
            assert (await client.post("/items/", json={"title": title, "price": 1})).status_code == 201
        address, titles = f"{shop.url}{API}/items/user/me?limit=1", []
        while address:
            answer = await client.get(address)
            assert answer.status_code == 200
            titles += [item["title"] for item in answer.json()]
            address = str(answer.links["next"]["url"]) if "next" in answer.links else ""
            assert not address or address.startswith(f"{shop.url}/api/v1/items/user/me?")
        assert sorted(titles) == ["A", "B", "C"]
        sessions = (await client.get("/auth/sessions/")).json()
        assert "203.0.113.1" in str(sessions)


async def test_seven_people_do_not_share_a_limit(shop: Shop) -> None:
    form = {"username": "nobody@example.com", "password": PASSWORD}
    for number in range(1, 8):
        async with shop.person(f"198.51.100.{number}") as client:
            tried = [(await client.post(f"{API}/auth/login", data=form)).status_code for _ in range(3)]
            assert tried == [401, 401, 429]
            asked = []
            for at in range(3):
                email = {"email": f"p{number}.{at}@example.com"}
                asked.append((await client.post(f"{API}/auth/password/forgot", json=email)).status_code)
            assert asked == [202, 202, 429]


async def test_what_a_client_writes_itself_is_not_believed(shop: Shop) -> None:
    form = {"username": "nobody@example.com", "password": PASSWORD}
    statuses = []
    for number in range(4):
        forged = f"192.0.2.{number}"
        async with shop.person(
            "203.0.113.77", X_Forwarded_For=forged, Forwarded=f"for={forged};host=evil", X_Forwarded_Host="evil",
            X_Forwarded_Prefix="/evil",
        ) as client:  # fmt: skip
            statuses.append((await client.post(f"{API}/auth/login", data=form)).status_code)
            assert "evil" not in (await client.get("/docs")).text
    assert statuses == [401, 401, 429, 429]
