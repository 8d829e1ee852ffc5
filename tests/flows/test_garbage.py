"""What a request leaves behind: nothing that only the garbage collector finds, be it served or refused.

A cycle of references holds the scope of a request, and a body of a megabyte with it, until the collector looks.
"""

import gc
import json
from collections.abc import Mapping
from typing import Any

import pytest
from starlette.types import Message

from tests.conftest import Person, World

API = "/api/v1"
CHAIR = {"title": "Chair", "price": 5.0}
TIMES = 5

ASKED: Mapping[str, tuple[int, str, str, Mapping[str, Any]]] = {
    "served": (200, "GET", "/items/{item}", {}),
    "created": (201, "POST", "/items/", {"json": CHAIR}),
    "no item": (404, "GET", "/items/999999", {}),
    "no item to change": (404, "PATCH", "/items/999999", {"json": {"title": "Lamp"}}),
    "no credential": (401, "POST", "/items/", {"json": CHAIR, "headers": {"Authorization": "Basic x"}}),
    "a wrong credential": (
        401,
        "POST",
        "/items/",
        {"json": CHAIR, "headers": {"Authorization": "Bearer x.y.z"}},
    ),
    "a wrong credential of a reader": (401, "GET", "/items/{item}", {"headers": {"X-API-Key": "tp_none"}}),
    "another version": (
        412,
        "PATCH",
        "/items/{item}",
        {"json": {"title": "Lamp"}, "headers": {"If-Match": '"9-x"'}},
    ),
    "no such category": (422, "POST", "/items/", {"json": CHAIR | {"category_id": 999_999}}),
    "no such parameter": (422, "GET", "/items/?nonsense=1", {}),
    "not what it should be": (422, "POST", "/items/", {"json": {"title": ""}}),
    "no such method": (405, "DELETE", "/items/", {}),
}


async def ask(world: World, method: str, url: str, headers: Mapping[str, str], body: bytes) -> int:
    """Ask the application as a server does, and return the status: a client's own garbage would be counted, too."""
    path, _, query = url.partition("?")
    fields = {**headers, "Content-Type": "application/json", "Content-Length": str(len(body))}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in fields.items()],
        "client": ("127.0.0.1", 50_000),
        "server": ("testserver", 80),
    }
    statuses = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await world.transport.app(scope, receive, send)
    (status,) = statuses
    return int(status)


@pytest.mark.parametrize("name", ASKED)
async def test_a_request_leaves_no_cycle(name: str, world: World, alice: Person) -> None:
    item = (await alice.api.post(f"{API}/items/", json=CHAIR)).json()
    status, method, path, options = ASKED[name]
    headers = {**alice.headers, **options.get("headers", {})}
    if "X-API-Key" in headers:
        del headers["Authorization"]
    body = json.dumps(options["json"]).encode() if "json" in options else b""
    url = API + path.format(item=item["id"])
    for _ in range(3):
        assert await ask(world, method, url, headers, body) == status
    gc.collect()
    gc.disable()
    try:
        for _ in range(TIMES):
            await ask(world, method, url, headers, body)
        assert gc.collect() <= 12 * TIMES
    finally:
        gc.enable()
