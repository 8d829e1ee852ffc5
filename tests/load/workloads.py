"""What is asked of every contestant: requests encoded beforehand, the same bytes for each of them."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from tests.load.contestants import LIMIT
from tests.load.generator import ONCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.load.contestants import Server
    from tests.load.database import Dataset

PASSWORD = "Tradepost1"
"""The seeder's, of every person it makes."""
PEOPLE = 32
"""So many different people log in: with one token alone, shared reads would look better than they are."""
EVENTS = 200
SEATS = 20
"""Fewer than `PEOPLE`: some wait, and are moved up."""
BEHIND = 1_024
"""So many join between somebody's joining and leaving: more than there are connections, or one might leave first."""
NEWEST = "/api/v1/items/?limit=20&total=false"
LONG = 6
"""Letters of a word that may have a typo."""
BESIDE = 200
"""Requests a second of those who ask for something else."""
HIGH_PRICE = 1_000_000
"""More than what any seeded item costs: no discount forbids it."""
WRITERS = frozenset({"tradepost", "straightforward"})
FINDERS = frozenset({"tradepost", LIMIT, "limit-no-reset"})
"""Those that know more lists than the newest items, and search."""
DEEP = 100
"""Different pages of the workload `deep`."""


@dataclass(frozen=True)
class Workload:
    """Requests that are sent in turn, and the status that each of them must be answered with."""

    name: str
    title: str
    requests: list[str]
    expected_status: int = 200
    also_expected: int | None = None
    """Another status that is as good."""
    writes: bool = False
    """Leaves rows behind: measured last, and ids and times differ between its answers."""
    only: str | None = None
    """The one contestant that can do it."""
    of: frozenset[str] | None = None
    """The contestants that can do it, if not all can."""
    compared: bool = True
    """Whether all contestants' answers to one request must have the same content."""
    fresh: Callable[[int], list[str]] | None = None
    """Makes what so many requests need that can each be sent once, and returns them."""
    beside: Workload | None = None
    """What others ask for meanwhile, `BESIDE` times a second."""


def log_in(server: Server, dataset: Dataset) -> list[str]:
    """Access tokens of `PEOPLE` people, one each."""
    tokens = []
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    for email in dataset.emails[:PEOPLE]:
        form = urlencode({"username": email, "password": PASSWORD})
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", "/api/v1/auth/login", form, headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{email} could not log in: {answer.status} {body[:300]!r}")
        tokens.append(json.loads(body)["access_token"])
    connection.close()
    return tokens


def make_keys(server: Server, tokens: list[str]) -> list[str]:
    """API keys of the people whose tokens these are, one each."""
    keys = []
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    for token in tokens:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        connection.request("POST", "/api/v1/auth/api-keys", json.dumps({"name": "Bench"}), headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 201:
            raise RuntimeError(f"no API key: {answer.status} {body[:300]!r}")
        keys.append(json.loads(body)["key"])
    connection.close()
    return keys


def plan_events(server: Server, tokens: list[str]) -> list[int]:
    """Ids of `EVENTS` events, which the first person organises."""
    planned = []
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    event = json.dumps(
        {
            "title": "Load test event",
            "description": "Made by the load generator.",
            "start_date": "2999-06-05T18:00:00Z",
            "end_date": "2999-06-05T21:00:00Z",
            "max_participants": SEATS,
        }
    )
    headers = {"Authorization": f"Bearer {tokens[0]}", "Content-Type": "application/json"}
    for _ in range(EVENTS):
        connection.request("POST", "/api/v1/events/", event, headers)
        planned.append(json.loads(connection.getresponse().read())["id"])
    connection.close()
    return planned


def deep_cursors(server: Server, dataset: Dataset) -> list[str]:
    """Cursors of places all over the second half of the public list."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    cursors = []
    for number in range(DEEP):
        skip = dataset.items // 2 + number * dataset.items // (4 * DEEP)
        connection.request("GET", f"{NEWEST}&skip={skip}")
        answer = connection.getresponse()
        cursor = json.loads(answer.read())["next_cursor"]
        if cursor is None:
            raise RuntimeError(f"the public list of {dataset.items} items ends before {skip}")
        cursors.append(cursor)
    connection.close()
    return cursors


def build_workloads(
    dataset: Dataset,
    tokens: list[str],
    event_ids: list[int] | None = None,
    cursors: list[str] | None = None,
    keys: list[str] | None = None,
    *,
    taking: Server | None = None,
) -> Mapping[str, Workload]:
    """All workloads by name, in the order in which they are to be measured.

    `join` needs events, `deep` cursors, `me-key` keys, and `delete` a Tradepost that takes the items in.
    """
    token_of = dict(zip(dataset.emails, tokens, strict=False))
    owned = [(item_id, token_of[email]) for item_id, email in dataset.owned if email in token_of]
    create = Workload(
        "create",
        "create an item with 2 tags, with JWT",
        list(_creations(dataset, tokens)),
        expected_status=201,
        writes=True,
    )
    workloads = (
        Workload("read", "read one item", [_get(f"/api/v1/items/{item_id}") for item_id in dataset.item_ids]),
        Workload(
            "read-304",
            "read one item that the client has",
            # Any tag: one by name would be another as soon as the views of an earlier round are written.
            [_get(f"/api/v1/items/{item_id}", headers=("If-None-Match: *",)) for item_id in dataset.item_ids],
            expected_status=304,
            only="tradepost",
        ),
        Workload("list", "list the 20 newest, no total", [_get(NEWEST)]),
        Workload(
            "pages",
            "list 20, no total, 500 different pages",
            [_get(f"{NEWEST}&skip={skip}") for skip in range(500)],
        ),
        Workload("total", "list the 20 newest with the exact total", [_get("/api/v1/items/?limit=20")]),
        Workload(
            "deep",
            f"list 20, no total, {DEEP} pages by cursor in the second half of the list",
            [_get(f"{NEWEST}&cursor={cursor}") for cursor in cursors or ()],
            of=FINDERS,
        ),
        Workload(
            "tagged",
            "list the 20 newest with a tag, with the exact total, 100 tags",
            [_get(f"/api/v1/items/?{urlencode({'limit': 20, 'tag': tag})}") for tag in dataset.tags],
            of=FINDERS,
        ),
        *(
            Workload(
                f"search-{kind}",
                f"search for {what}, 20 of what is found, no total",
                [
                    _get(f"/api/v1/items/search/?{urlencode({'q': q, 'limit': 20, 'total': 'false'})}")
                    for q in asked
                ],
                only="tradepost" if kind == "typo" else None,
                of=FINDERS,
                # Both find what has all words as they are; of what comes after that the limit has none.
                compared=kind == "common",
            )
            for kind, what, asked in (
                ("common", "a word that many items have, 100 different ones", dataset.tags),
                ("rare", "all words of a title, 100 different ones", dataset.titles),
                ("typo", "a tag with a letter missing, 100 different ones", misspelt(dataset.tags)),
            )
        ),
        Workload("me", "users/me with JWT", [_get("/api/v1/users/me", token) for token in tokens]),
        Workload(
            "me-key",
            "users/me by API key",
            [_get("/api/v1/users/me", headers=(f"X-API-Key: {key}",)) for key in keys or ()],
            only="tradepost",
        ),
        Workload(
            "read-beside",
            f"read one item, while others create {BESIDE} a second",
            [_get(f"/api/v1/items/{item_id}") for item_id in dataset.item_ids],
            beside=create,
        ),
        Workload(
            "api",
            "a mix as HttpArena's api-4: three of eight small answers (`me`), three of one item, two of a list of 20",
            list(_small_mix(dataset, tokens)),
        ),
        create,
        Workload(
            "create-key",
            "create an item with 2 tags, with JWT and an Idempotency-Key of its own",
            list(_creations(dataset, tokens, f"Idempotency-Key: {ONCE}")),
            expected_status=201,
            writes=True,
            of=WRITERS,
        ),
        Workload(
            "patch",
            "change an item's price, with JWT",
            list(_changes(owned)),
            writes=True,
            of=WRITERS,
            compared=False,
        ),
        Workload(
            "delete",
            "delete an item with 2 tags, with JWT",
            [],
            writes=True,
            of=WRITERS,
            compared=False,
            fresh=None if taking is None else partial(_deletions, taking, dataset, tokens),
        ),
        Workload(
            "crud",
            "a mix as HttpArena's crud: 75 % read one, 15 % change one, 5 % list 10, 5 % create one",
            list(_crud_mix(dataset, tokens, owned)),
            also_expected=201,
            writes=True,
            of=frozenset({"tradepost", LIMIT, "limit-no-reset"}),
            compared=False,
        ),
        Workload(
            "join",
            f"join and leave events of {SEATS} seats, with JWT",
            list(_joins(event_ids or [], tokens)),
            expected_status=200,
            also_expected=201,
            writes=True,
            of=WRITERS,
            compared=False,
        ),
    )
    return {workload.name: workload for workload in workloads}


def misspelt(words: Iterable[str]) -> list[str]:
    """The words without their middle letter, as far as they are long enough for typos to be looked up."""
    return [word[: len(word) // 2] + word[len(word) // 2 + 1 :] for word in words if len(word) >= LONG]


def _get(path: str, token: str | None = None, *, headers: Sequence[str] = ()) -> str:
    return _encoded("GET", path, token, headers=headers)


def _creations(dataset: Dataset, tokens: list[str], *headers: str) -> Iterable[str]:
    """As many requests as make every person use every pair of neighbouring tags once."""
    for number in range(len(tokens) * len(dataset.tags)):
        item = {
            "title": f"Load test item {number}",
            "description": "Made by the load generator; as long as a short description would be.",
            "price": 19.99,
            "discount_price": 14.5,
            "tax": 7.25,
            "tags": [
                dataset.tags[number % len(dataset.tags)],
                dataset.tags[(number + 1) % len(dataset.tags)],
            ],
        }
        yield _encoded(
            "POST", "/api/v1/items/", tokens[number % len(tokens)], json.dumps(item), headers=headers
        )


def _joins(event_ids: list[int], tokens: list[str]) -> Iterable[str]:
    """Everybody joins one event after the other, and leaves it when the next ones are under way: seats change hands."""
    pairs = [(event_id, token) for event_id in event_ids for token in tokens]
    for at, (event_id, token) in enumerate(pairs):
        yield _encoded("POST", f"/api/v1/events/{event_id}/participants", token)
        left, leaver = pairs[at - BEHIND]
        if at >= BEHIND:
            yield _encoded("DELETE", f"/api/v1/events/{left}/participants", leaver)
    for left, leaver in pairs[-BEHIND:]:
        yield _encoded("DELETE", f"/api/v1/events/{left}/participants", leaver)


def _changes(owned: Sequence[tuple[int, str]]) -> Iterable[str]:
    """Two changes of each item in turn, so that each changes something."""
    for turn in range(2):
        for number, (item_id, token) in enumerate(owned):
            change = json.dumps({"price": HIGH_PRICE + 2 * number + turn})
            yield _encoded("PATCH", f"/api/v1/items/{item_id}", token, change)


def _deletions(server: Server, dataset: Dataset, tokens: list[str], number: int) -> list[str]:
    """Have so many items put up for sale, and return the requests that delete them."""
    item = json.dumps({"title": "Load test item", "price": 19.99, "tags": dataset.tags[:2]})
    each = -(-number // len(tokens))
    made: list[list[str]] = []
    for token in tokens:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        headers = {"Content-Type": "application/x-ndjson", "Authorization": f"Bearer {token}"}
        connection.request("POST", "/api/v1/items/bulk", "\n".join([item] * each), headers)
        outcomes = map(json.loads, connection.getresponse().read().splitlines())
        ids = [one["id"] for one in outcomes if one.get("status") == 201]
        connection.close()
        if len(ids) != each:
            raise RuntimeError(f"{each} items were to be made, and {len(ids)} were")
        made.append([_encoded("DELETE", f"/api/v1/items/{item_id}", token) for item_id in ids])
    return [request for turn in zip(*made, strict=True) for request in turn]


def _crud_mix(dataset: Dataset, tokens: list[str], owned: Sequence[tuple[int, str]]) -> Iterable[str]:
    changes, creations = cycle(_changes(owned)), cycle(_creations(dataset, tokens))
    kinds = ["read", "read", "read", "read", "read", "change"] * 3 + ["list", "create"]
    for number, (item_id, kind) in enumerate(zip(dataset.item_ids, cycle(kinds), strict=False)):
        if kind == "read":
            yield _get(f"/api/v1/items/{item_id}")
        elif kind == "list":
            yield _get(f"/api/v1/items/?limit=10&total=false&skip={number % 500}")
        else:
            yield next(changes if kind == "change" else creations)


def _small_mix(dataset: Dataset, tokens: list[str]) -> Iterable[str]:
    kinds = ["me", "read", "me", "list", "read", "me", "read", "list"]
    for number, (item_id, kind) in enumerate(zip(dataset.item_ids, cycle(kinds), strict=False)):
        if kind == "me":
            yield _get("/api/v1/users/me", tokens[number % len(tokens)])
        elif kind == "read":
            yield _get(f"/api/v1/items/{item_id}")
        else:
            yield _get(f"{NEWEST}&skip={number % 500}")


def _encoded(
    method: str, path: str, token: str | None, body: str | None = None, *, headers: Sequence[str] = ()
) -> str:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: application/json", *headers]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", body or ""])
