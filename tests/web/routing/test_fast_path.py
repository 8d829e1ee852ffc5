"""The fast path of a route answers as the ordinary path does, to the byte: status, headers, body, and what is counted.

Two applications on the same resources get the same requests; one has no fast path.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Annotated, Any, NoReturn

import pytest
import pytest_asyncio
from fastapi import Body, Depends, Form, Header, Request
from sqlalchemy.exc import InterfaceError, OperationalError
from starlette.responses import Response
from starlette.types import Scope

from tests.conftest import NewPerson, Person, World
from tests.events.gatherings import EVENTS
from tests.items.market import ITEMS, new_category, sell
from tests.uploading import nothing_left, pdf, png
from tests.web.apps import caller, new_app, new_router
from tests.web.routing.both_paths import BothPaths, Headers, OnePath, bearer, credentials_of
from tradepost.accounts.identities import Identities
from tradepost.core.errors import Unavailable
from tradepost.items.reader import ItemReader
from tradepost.items.view_counter import ViewCounter
from tradepost.web.routing.fast_path import FastPathError, JudgedQueries, fast_path

ME = "/api/v1/users/me"
UPLOADS = "/api/v1/upload/items/"


def words(text: str) -> list[str]:
    return text.split()


@pytest.fixture(scope="module")
def module_paths(module_world: World) -> BothPaths:
    return BothPaths(OnePath(module_world.resources, fast=True), OnePath(module_world.resources, fast=False))


@pytest_asyncio.fixture
async def both(world: World, module_paths: BothPaths) -> AsyncIterator[BothPaths]:
    """Both paths, none of whose queries was judged yet; no view is written between a question and its repetition."""
    for queries in module_paths.fast.queries:
        queries._meanings.clear()
    async with world.resources[ViewCounter]._flushing:
        yield module_paths


@dataclass
class Market:
    """Items of all kinds, and credentials of all kinds, by name."""

    items: dict[str, dict[str, Any]]
    credentials: dict[str, Headers]
    good: dict[str, int]
    """Whose the credentials are that hold."""


@pytest_asyncio.fixture
async def market(
    *, world: World, new_person: NewPerson, alice: Person, bob: Person, moderator: Person, admin: Person
) -> Market:
    category = await new_category(admin, "Lights & Lamps")
    items = {
        "plain": await sell(alice),
        "full": await sell(
            alice,
            "“Łamp” \u2028 😀",
            19.99,
            description='"<é>\\',
            discount_price=0.1,
            tax=7.5,
            tags=["zebra", "été"],
            category_id=category["id"],
        ),
        "draft": await sell(alice, "Draft", status="draft"),
        "inactive": await sell(bob, "Inactive", 9_999_999_999.99, status="inactive"),
    }
    people = {"alice": alice, "bob": bob, "moderator": moderator, "admin": admin}
    credentials: dict[str, Headers] = {"none": []}
    credentials |= {name: bearer(person.token) for name, person in people.items()}
    credentials |= await credentials_of(world, alice, new_person, admin)
    good = {
        name: people[name.partition(",")[0]].id for name in credentials if name.partition(",")[0] in people
    }
    return Market(items, credentials, good)


def test_these_routes_have_a_fast_path(module_paths: BothPaths) -> None:
    """A route that gets one is added here, and to the tests below or in its domain."""
    expected = {
        ("GET", ITEMS),
        ("POST", ITEMS),
        ("GET", f"{ITEMS}{{item_id}}"),
        ("PUT", f"{ITEMS}{{item_id}}"),
        ("PATCH", f"{ITEMS}{{item_id}}"),
        ("GET", ME),
        ("GET", EVENTS),
        ("GET", f"{EVENTS}{{event_id}}"),
        ("GET", f"{EVENTS}{{event_id}}.ics"),
        ("POST", f"{EVENTS}{{event_id}}/participants"),
        ("POST", f"{UPLOADS}{{item_id}}/images/"),
        ("POST", f"{UPLOADS}{{item_id}}/documents/"),
    }
    assert module_paths.fast.fast_routes == module_paths.ordinary.fast_routes == expected


async def test_an_item_for_everybody(both: BothPaths, market: Market) -> None:
    owners = {"draft": {"alice", "moderator", "admin"}, "inactive": {"bob", "moderator", "admin"}}
    ids = {name: item["id"] for name, item in market.items.items()} | {"unknown": 10**9}
    for (who, headers), (name, item_id) in product(market.credentials.items(), ids.items()):
        answer = await both.agree("GET", f"{ITEMS}{item_id}", headers)
        caller = who.partition(",")[0]
        if caller not in {"none", *market.good}:
            expected = 401
        elif name == "unknown" or caller not in owners.get(name, {caller}):
            expected = 404
        else:
            expected = 200
        assert (answer.status, answer.fast) == (expected, True), (who, name)
        assert answer.person == market.good.get(who)
        assert answer.views == ({item_id: 1} if expected == 200 else {})
        assert answer.template == f"{ITEMS}{{item_id}}"


async def test_an_item_that_is_known(both: BothPaths, market: Market) -> None:
    item_id = market.items["plain"]["id"]
    address = f"{ITEMS}{item_id}"
    (tag,) = (value for name, value in (await both.agree("GET", address)).headers if name == b"etag")
    known: list[tuple[list[bytes], int]] = [
        ([], 200),
        ([b'"0-x"'], 200),
        ([tag], 304),
        ([b"W/" + tag], 304),
        ([tag[:-1] + b';gzip"'], 304),
        ([b'"0-x"', tag], 304),
        ([b"*"], 304),
        ([b"0-x"], 400),
        ([b""], 400),
        ([tag, b"*"], 400),
        ([b"\xff"], 400),
    ]
    for (lines, status), who in product(known, ("none", "alice", "cut")):
        condition = [(b"if-none-match", line) for line in lines]
        answer = await both.agree("GET", address, [*market.credentials[who], *condition])
        assert (answer.status, answer.fast) == (401 if who == "cut" else status, True), (lines, who)
        assert answer.views == ({item_id: 1} if answer.status == 200 else {})
        if status == 304:
            assert answer.body == b"" or who == "cut"
    for query in ("fields=id", "expand=category"):
        (part,) = (
            value
            for name, value in (await both.agree("GET", f"{address}?{query}")).headers
            if name == b"etag"
        )
        for held, status in ((part, 304), (tag, 200)):
            assert (
                await both.agree("GET", f"{address}?{query}", [(b"if-none-match", held)])
            ).status == status


# As they come over the wire, in Latin-1; the digits of the item's own id may themselves be escaped.
ODD_IDS = [
    *words("0 00 -0 -1 +{id} 0{id} {id}.0 {id}e0 {id}_0 0x{id} {id};x=1 {id}#x None true me"),
    *words("%20{id} {id}%20 %0A{id} {id}%0a %00 {id}%00 %ff {id}%ff {id}%FF {id}%C2%A0 %2F{id}"),
    *words("%EF%BC%91 %C2%B2 %D9%A1 \xb2 \xc2\xb2 {id}/ {id}// /{id} {id}/x {escaped} {escaped}/"),
    *("9" * digits for digits in (17, 18, 19, 20, 100, 5000)),
    *map(str, (2**31, 2**32, 2**53, 10**18, 2**63 - 1, 2**63, 2**64)),
]


async def test_an_item_by_an_odd_id(both: BothPaths, market: Market) -> None:
    item_id = market.items["plain"]["id"]
    escaped = "".join(f"%{ord(digit):x}" for digit in str(item_id))
    found = set()
    for odd, who in product(ODD_IDS, ("none", "alice", "cut")):
        address = f"{ITEMS}{odd.format(id=item_id, escaped=escaped)}"
        answer = await both.agree("GET", address, market.credentials[who])
        if answer.status == 200:
            found.add(odd)
    assert found >= {"{id}/", "{escaped}", "{escaped}/"}


QUERIES = [
    *words("x x=1 x=1&x=2 limit=5 limit=0 % %zz = & &&x x=%C3%A9 x=\xc3\xa9"),
    *words("x=%00 %00=x x=%ff x=\xff \xff x=%C3 x=a%00&y=%ff x=\x00"),
    "x=" + "y" * 5000,
]


async def test_an_item_and_oneself_with_a_query(both: BothPaths, market: Market) -> None:
    item = f"{ITEMS}{market.items['plain']['id']}"
    for query, path, who in product(QUERIES, (item, ME), ("none", "alice", "cut")):
        answer = await both.agree("GET", f"{path}?{query}", market.credentials[who])
        if answer.status != 422:
            known = who == "alice" or (who == "none" and path == item)
            assert answer.status == (200 if known else 401), query
    for path in (item, ME):
        assert (await both.agree("GET", f"{path}?", market.credentials["alice"])).fast


async def test_oneself_for_everybody(both: BothPaths, market: Market) -> None:
    for (who, headers), slash in product(market.credentials.items(), ("", "/")):
        answer = await both.agree("GET", f"{ME}{slash}", headers)
        assert answer.status == (200 if who in market.good else 401), who
        assert answer.person == market.good.get(who)
        assert answer.fast


async def test_oneself_with_everything_filled_in(both: BothPaths, alice: Person) -> None:
    about = {"first_name": "Zoë", "phone": "+49 30 1234567", "website": "example.com/é"}
    assert (await alice.api.put(ME, json=about)).status_code == 200
    answer = await both.agree("GET", ME, bearer(alice.token))
    assert answer.fast
    assert answer.body == (await alice.api.put(ME, json={})).content


GOOD_LISTS = [
    "",
    *words("skip=0 limit=1 limit=100&skip=1 limit=1&limit=2 limit=%31 skip=%201 skip=9223372036854774784"),
    *words("total=exact total=true total=estimated total=false sort=price sort=-views sort=title"),
    *words("status_filter=active status_filter=draft category=lights-lamps category=none category=1"),
    *words("tag=zebra tag=ZEBRA&tag=%C3%A9t%C3%A9 tag=\xc3\xa9t\xc3\xa9 owner_id=1 owner_id={alice}"),
    *words("min_price=0 min_price=0.1&max_price=1e3 max_price=%31%30 q=l q=%25 q=+l q=%F0%9F%98%80"),
    *words("&& limit=2&&skip=1& q=a&q=l %6cimit=1"),
]
BAD_LISTS = [
    *words(
        "x=1 x Limit=5 skip=1&x=2 limit=0 limit=101 limit=x limit=1.5 skip=-1 skip=9223372036854774785 skip=1e0"
    ),
    *words("total=none sort=id sort=secret status_filter=ACTIVE"),
    *words("tag=%E2%80%8B owner_id=0 owner_id=x min_price=-1 min_price=0.001"),
    *words("min_price=2&max_price=1 min_price=NaN max_price=inf limit=x&skip=x&q="),
    *words("q=%00 q=%ff q=\xff %00 x=%00 x=%ff&limit=0 tag=a&tag=%00"),
    "q=" + "x" * 201,
    "tag=a" + "&tag=a" * 20,
]
EMPTY_LISTS = words("limit= total= sort= status_filter= category= tag= q= min_price=&max_price= limit=2&q=")


async def test_lists(both: BothPaths, market: Market, alice: Person) -> None:
    callers = ("none", "alice", "moderator", "cut")
    paths = (ITEMS, ITEMS.removesuffix("/"))
    for number, (query, turn) in enumerate(product(GOOD_LISTS, range(4))):
        # Another caller is the first to ask each.
        who = callers[(turn + number // 4) % 4]
        address = f"{paths[turn % 2]}?{query.format(alice=alice.id)}"
        answer = await both.agree("GET", address, market.credentials[who])
        assert answer.status == (401 if who == "cut" else 200), query
        # What came unescaped is judged each time.
        assert answer.fast or not query.isascii()
    for query in EMPTY_LISTS:
        # An empty value is as good as none, and judged by the ordinary path.
        answer = await both.agree("GET", f"{ITEMS}?{query}", market.credentials["alice"])
        assert answer.status == 200, query
        assert not answer.fast
    for number, query in enumerate(BAD_LISTS):
        for who, expected in (("none", {422}), ("cut", {401, 422})):
            answer = await both.agree("GET", f"{paths[number % 2]}?{query}", market.credentials[who])
            assert answer.status in expected, query
            assert not answer.fast


async def test_lists_asked_at_random(both: BothPaths, market: Market) -> None:
    chance = Random(7)
    parts = [part for part in GOOD_LISTS * 3 + BAD_LISTS if part.isascii() and "{" not in part]
    seen: Counter[int] = Counter()
    for _ in range(100):
        query = "&".join(chance.sample(parts, chance.randint(1, 4)))
        who = chance.choice(["none", "alice", "bob", "admin", "left"])
        answer = await both.agree(
            chance.choice(["GET", "GET", "HEAD"]), f"{ITEMS}?{query}", market.credentials[who]
        )
        seen[answer.status] += 1
    assert min(seen[200], seen[401], seen[422]) > 5


async def test_what_a_list_means_does_not_depend_on_who_asked_first(
    both: BothPaths, market: Market, alice: Person
) -> None:
    drafts = f"{ITEMS}?status_filter=draft"
    for _ in range(2):
        for who, expected in (("alice", 1), ("none", 0), ("bob", 0), ("admin", 1)):
            answer = await both.agree("GET", drafts, market.credentials[who])
            assert answer.body.count(b'"status":"draft"') == expected
    # And what it finds is as new as ever.
    await sell(alice, status="draft")
    answer = await both.agree("GET", drafts, market.credentials["alice"])
    assert answer.fast
    assert answer.body.count(b'"status":"draft"') == 2


JSON_TYPE = [(b"content-type", b"application/json")]
GOOD_ITEM = b'{"title": "Lamp", "price": 1.5, "tags": ["A", "a"]}'
# None of these makes an item.
BAD_ITEMS = [
    *(b"", b"null", b"[]", b"7", b'"x"', b"{", b"{}", b"\xff", b'{"title": NaN}', b'{"title": "\\ud800"}'),
    b'{"title": "Lamp", "title": "Lamp", "price": 1}',
    b'{"title": "", "price": 0, "discount_price": 3, "tax": 101, "tags": [""], "status": "gone", "more": 1}',
    b'{"title": "Lamp", "price": 1, "discount_price": 2}',
    b'{"title": "Lamp", "price": true}',
    b'{"title": "Lamp", "price": 1.234}',
    b'{"title": "Lamp", "price": 1, "category_id": 999999}',
    b'{"title": "Lamp", "price": 1, "category_id": 9223372036854775808}',
    b'{"title": ' + b"[" * 100 + b"]" * 100 + b"}",
]


async def test_a_new_item_that_cannot_be(both: BothPaths, market: Market) -> None:
    for body, who in product(BAD_ITEMS, market.credentials):
        answer = await both.agree("POST", ITEMS, [*JSON_TYPE, *market.credentials[who]], body)
        assert answer.status in ({422} if who in market.good else {401, 422}), (who, body)
    for who, headers in market.credentials.items():
        if who not in market.good:
            assert (await both.agree("POST", ITEMS, [*JSON_TYPE, *headers], GOOD_ITEM)).status == 401
    kinds = (b"text/plain", b"application/x-www-form-urlencoded", b"", b"application/json; charset=x")
    for kind, body in product(kinds, (GOOD_ITEM[:-1], b"")):
        headers = [(b"content-type", kind), *market.credentials["alice"]]
        assert (await both.agree("POST", ITEMS, headers, body)).status in {415, 422}
    for query in ("x", "x=%00"):
        await both.agree("POST", f"{ITEMS}?{query}", [*JSON_TYPE, *market.credentials["alice"]], b"{}")


async def test_a_new_item_is_the_same_by_both_paths(both: BothPaths, market: Market) -> None:
    headers = [*JSON_TYPE, *market.credentials["alice"]]
    made = []
    for path in (both.fast, both.ordinary):
        answer = await path.ask("POST", ITEMS, headers, GOOD_ITEM)
        assert answer.status == 201
        made.append(json.loads(answer.body) | {"id": 0, "created_at": "", "updated_at": ""})
    assert made[0] == made[1]
    assert made[0]["tags"] == ["a"]


# None of these changes an item.
BAD_CHANGES = [
    *(body for body in BAD_ITEMS if body not in (b"{}", b"")),
    b'{"price": 1, "discount_price": 2}',
    b'{"title": null}',
]


async def test_a_change_that_cannot_be(both: BothPaths, market: Market) -> None:
    item, odd = f"{ITEMS}{market.items['full']['id']}", f"{ITEMS}007"
    for method, body, who in product(("PATCH", "PUT"), BAD_CHANGES, market.credentials):
        answer = await both.agree(method, item, [*JSON_TYPE, *market.credentials[who]], body)
        assert answer.status in ({403, 422} if who in market.good else {401, 422}), (who, body)
    alice = market.credentials["alice"]
    for address in (f"{ITEMS}999999999", f"{ITEMS}{2**63}", f"{ITEMS}0", odd, f"{item}?x=1"):
        answer = await both.agree("PATCH", address, [*JSON_TYPE, *alice], b'{"price": 2}')
        assert answer.status in {404, 422}, address
    for condition in ((b"if-match", b'"0"'), (b"if-match", b"?"), (b"if-none-match", b"*")):
        answer = await both.agree("PATCH", item, [*JSON_TYPE, *alice, condition], b"[]")
        assert answer.status >= 400
    stale = [*JSON_TYPE, *alice, (b"if-match", b'"0-0"')]
    assert (await both.agree("PATCH", item, stale, b'{"price": 2}')).status == 412
    for kind in (b"text/plain", b"application/x-www-form-urlencoded", b"application/json; charset=x"):
        assert (await both.agree("PATCH", item, [(b"content-type", kind), *alice], b"{}")).status in {
            200,
            415,
        }


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_a_change_is_the_same_by_both_paths(both: BothPaths, market: Market, method: str) -> None:
    headers = [*JSON_TYPE, *market.credentials["alice"]]
    body = b'{"title": "Changed", "price": 3.25, "tags": ["b", "new"], "description": null}'
    changed = []
    for path in (both.fast, both.ordinary):
        answer = await path.ask("POST", ITEMS, headers, GOOD_ITEM)
        made = json.loads(answer.body)
        answer = await path.ask(method, f"{ITEMS}{made['id']}", headers, body)
        assert answer.status == 200
        found = json.loads(answer.body)
        assert found["version"] == made["version"] + 1
        changed.append(found | {"id": 0, "created_at": "", "updated_at": ""})
    assert changed[0] == changed[1]
    assert changed[0]["tags"] == ["b", "new"]


def of_form(body: bytes, kind: bytes = b"multipart/form-data; boundary=x") -> Headers:
    """Return the headers of a body that is a form."""
    return [(b"content-type", kind), (b"content-length", b"%d" % len(body))]


def form(*parts: tuple[str, bytes]) -> bytes:
    """Return a form of parts, each with what its head says after ``form-data`` and its content."""
    written = (
        f"--x\r\nContent-Disposition: form-data{head}\r\n\r\n".encode() + data + b"\r\n"
        for head, data in parts
    )
    return b"".join(written) + b"--x--\r\n"


FILE = '; name="files"; filename="a"'
BAD_FORMS = [
    *(
        b"",
        b"x",
        b"--x",
        b"--x--\r\n",
        b"--y\r\n\r\n--y--\r\n",
        form((FILE, pdf())).removesuffix(b"--x--\r\n"),
    ),
    form((FILE, b"")),
    form((FILE, b"\x00\x01")),
    form(('; name="files"', pdf())),
    form(('; name="other"; filename="a"', pdf())),
    form((FILE, png()), (FILE, b"\x00")),
    form((FILE, pdf()), ('; name="other"; filename="a"', pdf())),
    form(*[(FILE, pdf())] * 6),
    form(*[(FILE, png())] * 20),
    form((FILE, png()[:-20])),
]


@pytest.mark.parametrize("kind", ["images", "documents"])
async def test_files_that_cannot_be(world: World, both: BothPaths, market: Market, kind: str) -> None:
    item_id = market.items["plain"]["id"]
    path = f"{UPLOADS}{item_id}/{kind}/"
    alice, good = market.credentials["alice"], form((FILE, png() if kind == "images" else pdf()))
    for body in BAD_FORMS:
        answer = await both.agree("POST", path, [*of_form(body), *alice], body)
        assert answer.status in {400, 422, 415}, body
        assert answer.fast
    for who, headers in market.credentials.items():
        if who.partition(",")[0] not in {"alice", "moderator", "admin"}:
            answer = await both.agree("POST", path, [*of_form(good), *headers], good)
            assert answer.status == (403 if who == "bob" else 401), who
    hidden = market.items["inactive"]["id"]
    for odd in (hidden, f"0{hidden}", "999999", "0", "-1", "x", 2**63):
        answer = await both.agree("POST", f"{UPLOADS}{odd}/{kind}/", [*of_form(good), *alice], good)
        assert answer.status in {404, 422}, odd
    for query in ("x", "x=%00", "item_id=1"):
        assert (await both.agree("POST", f"{path}?{query}", [*of_form(good), *alice], good)).status == 422
    for content_type in (b"text/plain", b"", b"multipart/form-data", b"application/json"):
        headers = [*of_form(good, content_type), *alice]
        assert (await both.agree("POST", path, headers, good)).status in {400, 415, 422}
    assert await nothing_left(world)


@pytest.mark.parametrize("kind", ["images", "documents"])
async def test_files_are_the_same_by_both_paths(both: BothPaths, market: Market, kind: str) -> None:
    body = form(*[('; name="files"; filename="“ü”"', png() if kind == "images" else pdf())] * 2)
    made = []
    for path in (both.fast, both.ordinary):
        headers = [*of_form(body), *market.credentials["alice"]]
        answer = await path.ask("POST", f"{UPLOADS}{market.items['plain']['id']}/{kind}/", headers, body)
        assert answer.status == 200
        names = [file["filename"] for file in json.loads(answer.body)["uploaded_files"]]
        assert len(names) == 2
        shown = answer.body
        for name in names:
            shown = shown.replace(name.encode(), b"-" * len(name))
        made.append((shown, answer.headers, answer.person, answer.template))
    assert made[0] == made[1]


async def test_head_and_other_methods(both: BothPaths, market: Market) -> None:
    item, draft = (market.items[name]["id"] for name in ("full", "draft"))
    paths = [
        f"{ITEMS}{item}",
        f"{ITEMS}{draft}",
        f"{ITEMS}007",
        f"{ITEMS}{item}/",
        ITEMS,
        ITEMS[:-1],
        ME,
        f"{ME}/",
    ]
    for path, who in product(paths, ("none", "alice", "cut", "other scheme")):
        headers = market.credentials[who]
        got, headed = await both.agree("GET", path, headers), await both.agree("HEAD", path, headers)
        assert headed.body == b""
        assert (headed.status, headed.headers, headed.views) == (got.status, got.headers, got.views)
    for method, path in product(("OPTIONS", "TRACE", "get", "PURGE"), paths):
        assert (await both.agree(method, path)).status == (204 if method == "OPTIONS" else 405)


async def test_a_new_item_is_answered_as_it_is_read_later(both: BothPaths, alice: Person) -> None:
    for fields in (
        {},
        {
            "tags": ["b", "a", "ß"],
            "description": " é\u2028 ",
            "tax": 19,
            "price": 0.15,
            "discount_price": 0.01,
        },
        {"status": "draft", "price": 9_999_999_999.99},
    ):
        new = {"title": "Lamp", "price": 10} | fields
        made = await alice.api.post(ITEMS, json=new)
        assert made.status_code == 201
        address, headers = f"{ITEMS}{made.json()['id']}", bearer(alice.token)
        assert (await both.agree("GET", address, headers)).body == made.content
        listed = await both.agree("GET", f"{ITEMS}?limit=1", headers)
        assert listed.body.startswith(b'{"items":[' + made.content + b"]")
        changed = await alice.api.patch(address, json={"title": "New"})
        assert (await both.agree("GET", address, headers)).body == changed.content


class Broken:
    """A part that fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def fail(self, *_arguments: Any, **_options: Any) -> NoReturn:
        raise self.error

    get = page = find = fail


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Unavailable(retry_after=7), 503),
        (InterfaceError("SELECT 1", {}, ConnectionError("gone")), 503),
        (OperationalError("SELECT 1", {}, ValueError("no")), 500),
        (LookupError("what nobody foresaw"), 500),
        (TimeoutError(), 500),
    ],
    ids=repr,
)
async def test_failures(both: BothPaths, market: Market, error: Exception, status: int) -> None:
    reader, identities = both.fast.resources[ItemReader], both.fast.resources[Identities]
    paths = [f"{ITEMS}{market.items['plain']['id']}", ITEMS, ME]
    # Judged while all was well.
    for path in paths:
        await both.agree("GET", path, market.credentials["alice"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader._points, "find", Broken(error).get)
        patch.setattr(reader._lists, "get", Broken(error).get)
        for method, path in product(("GET", "HEAD"), paths[:2]):
            assert (await both.agree(method, path)).status == status
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identities._reads, "find", Broken(error).get)
        for method, path in product(("GET", "HEAD"), paths):
            assert (await both.agree(method, path, market.credentials["alice"])).status == status
    for path in paths:
        assert (await both.agree("GET", path, market.credentials["alice"])).status == 200


async def test_many_at_once(both: BothPaths, market: Market) -> None:
    """Batches are made of both paths' questions: nobody gets somebody else's answer."""
    asked = [
        ("GET", address, market.credentials[who])
        for who in ("none", "alice", "bob", "admin", "cut", "left")
        for address in (*(f"{ITEMS}{item['id']}" for item in market.items.values()), f"{ITEMS}?limit=2", ME)
    ]
    one_by_one = [await both.ordinary.ask(*question) for question in asked]
    for path in (both.fast, both.ordinary):
        together = await asyncio.gather(*(path.ask(*question) for question in asked * 2))
        for alone, answer in zip(one_by_one * 2, together, strict=True):
            assert (answer.status, answer.headers, answer.body) == (alone.status, alone.headers, alone.body)


class TestJudgedQueries:
    """What is remembered of query strings."""

    @staticmethod
    def scope(query: bytes) -> Scope:
        return {"type": "http", "query_string": query}

    def test_the_same_string_means_the_same(self) -> None:
        judged: JudgedQueries[str] = JudgedQueries()
        judged.put(self.scope(b"a=1"), "one")
        assert judged.get(self.scope(b"a=1")) == "one"
        assert judged.get(self.scope(b"a=1&")) is None
        assert judged.get(self.scope(b"")) is None

    def test_they_are_bounded_and_the_oldest_goes_first(self) -> None:
        judged: JudgedQueries[int] = JudgedQueries()
        for number in range(5_000):
            judged.put(self.scope(b"%d" % number), number)
        assert len(judged._meanings) == 1_024
        assert judged.get(self.scope(b"4999")) == 4_999
        assert judged.get(self.scope(b"3976")) == 3_976
        assert judged.get(self.scope(b"3975")) is None

    def test_one_that_is_put_in_again_drives_none_out(self) -> None:
        judged: JudgedQueries[int] = JudgedQueries()
        for number in range(1_024):
            judged.put(self.scope(b"%d" % number), number)
        judged.put(self.scope(b"1023"), 1_023)
        assert judged.get(self.scope(b"0")) == 0

    def test_a_long_one_is_not_kept(self) -> None:
        """A parameter that nobody knows can be as long as a request may be: a thousand of them would fill the memory."""
        judged: JudgedQueries[int] = JudgedQueries()
        judged.put(self.scope(b"limit=1&x=" + b"x" * 100_000), 1)
        assert not judged._meanings


async def nothing() -> None:
    pass


def in_a_thread() -> None:
    pass


async def resource() -> AsyncIterator[None]:
    yield


async def by_header(name: Annotated[str, Header()]) -> str:
    return name


async def by_query_and_more(request: Request, limit: int = 1) -> int:
    return limit if request.method else 0


async def takes_any_id(item_id: str) -> Response:
    return Response(item_id)


async def takes_a_query(limit: int = 1) -> Response:
    return Response(str(limit))


async def takes_a_form(name: Annotated[str, Form()]) -> Response:
    return Response(name)


async def takes_two_values(one: Annotated[int, Body()], two: Annotated[int, Body()]) -> Response:
    return Response(str(one + two))


async def takes_keywords(*, _nothing: Annotated[None, Depends(nothing)]) -> Response:
    return Response()


async def sets_headers(response: Response) -> Response:
    return response


async def returns_a_model() -> dict[str, str]:
    return {}


def is_no_coroutine() -> Response:
    return Response()


def depends_on(dependency: Any) -> Any:
    async def endpoint(_value: Annotated[Any, Depends(dependency)]) -> Response:
        return Response()

    return endpoint


class TestWhatItCannotSupply:
    """Start-up fails for an endpoint that the fast path would have to answer differently."""

    @pytest.mark.parametrize(
        ("endpoint", "reason"),
        [
            (takes_any_id, "no PathId"),
            (takes_a_query, "query_params"),
            (takes_a_form, "not one JSON value"),
            (takes_two_values, "not one JSON value"),
            (takes_keywords, "by position"),
            (sets_headers, "response_param_name"),
            (returns_a_model, "to return a Response"),
            (is_no_coroutine, "neither threads"),
            (depends_on(in_a_thread), "neither threads"),
            (depends_on(resource), "neither threads nor `yield`"),
            (depends_on(by_header), "header_params"),
            (depends_on(by_query_and_more), "request_param_name"),
            (depends_on(depends_on(resource)), "neither threads nor `yield`"),
        ],
    )
    def test_it_is_refused_by_name(self, endpoint: Any, reason: str) -> None:
        router = new_router()
        router.post("/{item_id}" if endpoint is takes_any_id else "/")(fast_path(endpoint))
        with pytest.raises(FastPathError, match=reason):
            new_app(router)

    async def test_a_dependency_of_two_is_awaited_once_and_in_order(self) -> None:
        awaited: list[str] = []

        async def first() -> str:
            awaited.append("first")
            return "1"

        async def second(one: Annotated[str, Depends(first)]) -> str:
            awaited.append("second")
            return one + "2"

        async def third(two: Annotated[str, Depends(second)], one: Annotated[str, Depends(first)]) -> str:
            awaited.append("third")
            return two + one + "3"

        router = new_router()

        @router.get("/", dependencies=[Depends(third)])
        @fast_path
        async def endpoint(two: Annotated[str, Depends(second)]) -> Response:
            return Response(two)

        async with caller(new_app(router)) as client:
            assert (await client.get("/api/v1/")).text == "12"
            assert awaited == ["first", "second", "third"]
            assert (await client.get("/api/v1/?&")).text == "12"
            assert awaited == ["first", "second", "third"] * 2
