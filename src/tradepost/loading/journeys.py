"""The journeys: what somebody does on a marketplace, step by step. A mix is one of them, made again and again by others.

``deploy/load`` has the same for Locust and k6. A step that is not answered as it should be ends its journey.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from random import Random
from typing import Any, Final, Protocol
from urllib.parse import quote_plus

from PIL import Image

from tradepost.loading.client import Answer

API: Final = "/api/v1"
PAGE: Final = f"{API}/items/?limit=20&total=false"
GOOD: Final = frozenset({200, 201, 202, 204, 206, 304})
_SIZE: Final = 96
_BOUNDARY: Final = "tradepost-load-kit"


class Going(Protocol):
    """One person on one journey."""

    dice: Random
    number: int
    """Another for each journey of a run."""
    item_ids: tuple[int, ...]
    event_ids: tuple[int, ...]
    tags: tuple[str, ...]

    async def send(
        self,
        step: str,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        headers: str = "",
        personal: bool = False,
        good: frozenset[int] = GOOD,
    ) -> Answer:
        """Take a step; ends the journey unless the answer's status is a good one. ``headers`` end with CRLF each."""
        ...

    async def hear(self, step: str, path: str, marker: bytes, done: Callable[[], Awaitable[bytes]]) -> None:
        """Open a stream until it says ``marker``, then do something, and wait until the stream says what that returned."""
        ...


@dataclass(frozen=True, slots=True)
class Mix:
    """A journey, how many requests it takes, and whether it needs somebody with an account."""

    steps: int
    go: Callable[[Going], Awaitable[None]]
    about: str
    personal: bool


_JSON: Final = "Content-Type: application/json\r\n"


def _encoded(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


async def read(going: Going) -> None:
    """Read one item."""
    await going.send("item", "GET", f"{API}/items/{going.dice.choice(going.item_ids)}")


async def browse(going: Going) -> None:
    """List the newest, go on to the next page, look at three items, one of them once more."""
    answer = await going.send("list", "GET", PAGE)
    cursor = json.loads(answer.body)["next_cursor"]
    await going.send("list", "GET", PAGE if cursor is None else f"{PAGE}&cursor={cursor}")
    for item_id in going.dice.choices(going.item_ids, k=3):
        await going.send("item", "GET", f"{API}/items/{item_id}")


async def shop(going: Going) -> None:
    """Search, narrow by a tag, look at an item, and at oneself and what one was told."""
    tag = quote_plus(going.dice.choice(going.tags))
    await going.send("search", "GET", f"{API}/items/search/?q={tag}&limit=20&total=false")
    await going.send("list by tag", "GET", f"{PAGE}&tag={tag}")
    await going.send("item", "GET", f"{API}/items/{going.dice.choice(going.item_ids)}")
    await going.send("me", "GET", f"{API}/users/me", personal=True)
    await going.send("inbox", "GET", f"{API}/notifications/?limit=20&total=false", personal=True)


def _item(going: Going) -> bytes:
    return _encoded(
        {
            "title": f"Load test item {going.number}",
            "description": "Made by the load kit; as long as a short description would be.",
            "price": 19.99,
            "tags": sorted({going.dice.choice(going.tags) for _ in range(2)}),
        }
    )


async def write(going: Going) -> None:
    """Offer an item, with a key that makes it safe to repeat, change it, read it, take it back."""
    key = f"{_JSON}Idempotency-Key: load-{going.number}-{going.dice.getrandbits(48):x}\r\n"
    made = await going.send("create", "POST", f"{API}/items/", _item(going), headers=key, personal=True)
    path = f"{API}/items/{json.loads(made.body)['id']}"
    await going.send("change", "PATCH", path, b'{"price":17.5}', headers=_JSON, personal=True)
    await going.send("item", "GET", path, personal=True)
    await going.send("delete", "DELETE", path, personal=True)


def _noise(seed: int) -> bytes:
    return Random(seed).randbytes(_SIZE * _SIZE * 3)  # noqa: S311 - nothing secret comes of it


def picture(seed: int) -> bytes:
    """Return a small picture that looks like no other, as a PNG."""
    made = BytesIO()
    Image.frombytes("RGB", (_SIZE, _SIZE), _noise(seed)).save(made, "PNG")
    return made.getvalue()


PICTURES: Final = 16
_pictures: dict[int, bytes] = {}


def _form(number: int) -> bytes:
    """Return a form with one of a few pictures: making one takes longer than sending it."""
    if number not in _pictures:
        _pictures[number] = picture(number)
    head = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="picture.png"\r\n'
        "Content-Type: image/png\r\n\r\n"
    )
    return head.encode() + _pictures[number] + f"\r\n--{_BOUNDARY}--\r\n".encode()


async def upload(going: Going) -> None:
    """Show another picture of oneself, and look at it."""
    headers = f"Content-Type: multipart/form-data; boundary={_BOUNDARY}\r\n"
    form = _form(going.number % PICTURES)
    made = await going.send("upload", "POST", f"{API}/upload/avatar/", form, headers=headers, personal=True)
    await going.send("file", "GET", json.loads(made.body)["url"], good=GOOD | {404})


async def stream(going: Going) -> None:
    """Open the live stream, offer an item, and wait to be told of it; then take it back."""
    made: list[int] = []

    async def offer() -> bytes:
        answer = await going.send(
            "create", "POST", f"{API}/items/", _item(going), headers=_JSON, personal=True
        )
        made.append(json.loads(answer.body)["id"])
        return f'"item_id":{made[0]},'.encode()

    await going.hear("told", f"{API}/notifications/stream", b"\n", offer)
    await going.send("delete", "DELETE", f"{API}/items/{made[0]}", personal=True)


async def events(going: Going) -> None:
    """Look for gatherings, look at one, join it, and leave it again."""
    await going.send("events", "GET", f"{API}/events/?limit=20&total=false", personal=True)
    path = f"{API}/events/{going.dice.choice(going.event_ids)}"
    await going.send("event", "GET", path, personal=True)
    # Others of the same person may be in it, or out of it, at the same time.
    await going.send("join", "POST", f"{path}/participants", personal=True, good=GOOD | {409})
    await going.send("leave", "DELETE", f"{path}/participants", personal=True, good=GOOD | {404, 409})


MIXES: Final = {
    "read": Mix(1, read, "one item", personal=False),
    "browse": Mix(5, browse, "two pages of the newest, three items", personal=False),
    "shop": Mix(5, shop, "search, list by tag, an item, oneself, the inbox", personal=True),
    "write": Mix(4, write, "offer an item, change it, read it, take it back", personal=True),
    "upload": Mix(2, upload, "show another picture of oneself, look at it", personal=True),
    "stream": Mix(
        3, stream, "open the live stream, offer an item, be told of it, take it back", personal=True
    ),
    "events": Mix(4, events, "list gatherings, look at one, join it, leave it", personal=True),
}
"""Every mix by its name."""
