"""The journeys of ``tradepost load`` for Locust: a closed loop of people who think between two steps.

::

    tradepost tokens --users 100 > tokens.txt
    TOKENS=tokens.txt MIX=shop locust -f deploy/load/locustfile.py --headless -u 100 -r 20 -t 60s -H http://127.0.0.1:8000

``MIX`` is read, browse, shop, write, upload, stream or events. ``KEY`` is an API key for everybody, in the place of tokens;
a load test's lifts rate limits.
"""

import itertools
import os
import random
import struct
import uuid
import zlib
from pathlib import Path

from locust import FastHttpUser, between, events, task

API = "/api/v1"
PAGE = f"{API}/items/?limit=20&total=false"
PERSONAL = {"shop", "write", "upload", "stream", "events"}
MIX = os.environ.get("MIX", "browse")
KEY = os.environ.get("KEY")
TOKENS = Path(os.environ["TOKENS"]).read_text(encoding="ascii").split() if "TOKENS" in os.environ else []
THINK = float(os.environ.get("THINK", "1"))

if MIX in PERSONAL and not (TOKENS or KEY):
    raise SystemExit(f"{MIX} needs people: TOKENS=file (tradepost tokens --users 100), or KEY")

_people = itertools.cycle(TOKENS or [""])


def picture() -> bytes:
    """Return a small picture of noise, as a PNG."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + random.randbytes(96 * 3) for _ in range(96))
    head = struct.pack(">IIBBBBB", 96, 96, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


class Person(FastHttpUser):
    """Somebody who makes the same journey again and again."""

    wait_time = between(THINK / 2, THINK * 3 / 2)

    def on_start(self) -> None:
        """Get one's credentials, and see what there is to ask for."""
        token = next(_people)
        self.mine = {"X-API-Key": KEY} if KEY else {"Authorization": f"Bearer {token}"} if token else {}
        self.anybody = self.mine if KEY else {}
        page = self.client.get(
            f"{API}/items/?limit=100&total=false", headers=self.anybody, name="survey"
        ).json()
        self.item_ids = [item["id"] for item in page["items"]] or [1]
        self.tags = sorted({tag for item in page["items"] for tag in item["tags"]}) or ["lamp"]
        found = self.client.get(
            f"{API}/events/?limit=100&total=false", headers=self.anybody, name="survey"
        ).json()
        self.event_ids = [event["id"] for event in found["events"]] or [1]

    @task
    def journey(self) -> None:
        """Make the journey that ``MIX`` names."""
        getattr(self, MIX)()

    def item(self, number: int | None = None) -> None:
        """Look at an item."""
        chosen = number or random.choice(self.item_ids)
        self.client.get(f"{API}/items/{chosen}", headers=self.anybody, name="item")

    def read(self) -> None:
        """Read one item."""
        self.item()

    def browse(self) -> None:
        """List the newest, go on to the next page, look at three items."""
        page = self.client.get(PAGE, headers=self.anybody, name="list").json()
        more = f"&cursor={page['next_cursor']}" if page["next_cursor"] else ""
        self.client.get(PAGE + more, headers=self.anybody, name="list")
        for _ in range(3):
            self.item()

    def shop(self) -> None:
        """Search, narrow by a tag, look at an item, and at oneself and what one was told."""
        tag = random.choice(self.tags)
        search = f"{API}/items/search/?q={tag}&limit=20&total=false"
        self.client.get(search, headers=self.anybody, name="search")
        self.client.get(f"{PAGE}&tag={tag}", headers=self.anybody, name="list by tag")
        self.item()
        self.client.get(f"{API}/users/me", headers=self.mine, name="me")
        self.client.get(f"{API}/notifications/?limit=20&total=false", headers=self.mine, name="inbox")

    def offer(self) -> str:
        """Offer an item, and return its path."""
        body = {"title": "Load test item", "price": 19.99, "tags": [random.choice(self.tags)]}
        key = {"Idempotency-Key": f"locust-{uuid.uuid4()}"}
        made = self.client.post(f"{API}/items/", json=body, headers=self.mine | key, name="create")
        return f"{API}/items/{made.json()['id']}"

    def write(self) -> None:
        """Offer an item, with a key that makes it safe to repeat, change it, read it, take it back."""
        path = self.offer()
        self.client.patch(path, json={"price": 17.5}, headers=self.mine, name="change")
        self.client.get(path, headers=self.mine, name="item")
        self.client.delete(path, headers=self.mine, name="delete")

    def upload(self) -> None:
        """Show another picture of oneself, and look at it."""
        border = uuid.uuid4().hex
        head = (
            f'--{border}\r\nContent-Disposition: form-data; name="file"; filename="picture.png"\r\n'
            "Content-Type: image/png\r\n\r\n"
        )
        body = head.encode() + picture() + f"\r\n--{border}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={border}"}
        made = self.client.post(f"{API}/upload/avatar/", data=body, headers=self.mine | kind, name="upload")
        self.client.get(made.json()["url"], headers=self.anybody, name="file")

    def stream(self) -> None:
        """Open the live stream, offer an item, and wait to be told of it; then take it back."""
        stream = self.client.get(
            f"{API}/notifications/stream", headers=self.mine, name="open stream", stream=True
        )
        path = self.offer()
        wanted = f'"item_id":{path.rpartition("/")[2]},'.encode()
        heard = b""
        while wanted not in heard:
            heard = (heard + stream.stream.read(64))[-4096:]
        stream.stream.release()
        self.client.delete(path, headers=self.mine, name="delete")

    def events(self) -> None:
        """Look for gatherings, look at one, join it, and leave it again."""
        self.client.get(f"{API}/events/?limit=20&total=false", headers=self.mine, name="events")
        path = f"{API}/events/{random.choice(self.event_ids)}"
        self.client.get(path, headers=self.mine, name="event")
        for method, name, good in (("POST", "join", {200, 201, 409}), ("DELETE", "leave", {200, 404, 409})):
            with self.client.request(
                method, f"{path}/participants", headers=self.mine, name=name, catch_response=True
            ) as answer:
                if answer.status_code in good:
                    answer.success()


@events.quitting.add_listener
def fail_on_errors(environment, **_rest) -> None:  # noqa: ANN001, ANN003 - Locust's own
    """Have the exit status say whether there were errors."""
    total = environment.stats.total
    environment.process_exit_code = 1 if total.num_failures or not total.num_requests else 0
