"""Who may see an item, and who may do what to it."""

from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from tests.conftest import Person
from tests.items.market import ITEMS, MINE, POPULAR, SEARCH, change, code, path_of, read, sell, titles

METHODS = ("GET", "HEAD", "PUT", "PATCH", "DELETE")


@pytest.fixture
def everybody(
    client: httpx.AsyncClient, alice: Person, bob: Person, moderator: Person, admin: Person
) -> dict[str, httpx.AsyncClient]:
    """Everybody who may come to alice's items."""
    return {
        "stranger": client,
        "owner": alice.api,
        "other": bob.api,
        "moderator": moderator.api,
        "admin": admin.api,
    }


async def call(caller: httpx.AsyncClient, method: str, path: str) -> httpx.Response:
    body: dict[str, Any] = {"json": {"title": "Changed"}} if method in {"PUT", "PATCH"} else {}
    return await caller.request(method, path, **body)


ACTIVE = {
    #            GET, HEAD, PUT, PATCH, DELETE
    "stranger": (200, 200, 401, 401, 401),
    "other": (200, 200, 403, 403, 403),
    "moderator": (200, 200, 403, 403, 200),
    "admin": (200, 200, 200, 200, 200),
    "owner": (200, 200, 200, 200, 200),
}
HIDDEN = ACTIVE | {"stranger": (404, 404, 401, 401, 401), "other": (404, 404, 404, 404, 404)}


class TestOneItem:
    @pytest.mark.parametrize(
        ("status", "expected"), [("active", ACTIVE), ("inactive", HIDDEN), ("draft", HIDDEN)]
    )
    async def test_table(
        self,
        alice: Person,
        everybody: dict[str, httpx.AsyncClient],
        status: str,
        expected: dict[str, Sequence[int]],
    ) -> None:
        for who, statuses in expected.items():
            item = await sell(alice, status=status)
            for method, wanted in zip(METHODS, statuses, strict=True):
                answer = await call(everybody[who], method, path_of(item))
                assert answer.status_code == wanted, (who, method, answer.text)
                if method == "HEAD":
                    assert answer.content == b""
                elif wanted == 401:
                    assert answer.json()["detail"] == "Could not validate credentials"
                    assert answer.headers["www-authenticate"] == "Bearer"
                elif wanted == 403:
                    assert code(answer) == (403, "HTTP_403")
                    assert answer.json()["detail"] == "Not enough permissions"
                elif wanted == 404:
                    assert code(answer) == (404, "ITEM_NOT_FOUND")
                    assert answer.json()["detail"] == "Item not found"
                elif method == "DELETE":
                    assert answer.json() == {"message": "Item deleted successfully"}

    async def test_a_hidden_one_looks_like_none(self, alice: Person, bob: Person) -> None:
        hidden, gone = await sell(alice, status="draft"), await sell(alice)
        await alice.api.delete(path_of(gone))
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            answers = [await call(bob.api, method, path_of(item)) for item in (hidden, gone)]
            first, second = ({**answer.json(), "request_id": ""} for answer in answers)
            assert first == second

    async def test_a_bad_body_tells_nobody_of_it_either(self, alice: Person, bob: Person) -> None:
        hidden = await sell(alice, status="draft")
        for path in (path_of(hidden), path_of(hidden["id"] + 1)):
            answer = await bob.api.patch(path, json={"price": -1})
            assert answer.status_code == 422

    async def test_deleted_is_gone_for_everybody(
        self, alice: Person, everybody: dict[str, httpx.AsyncClient]
    ) -> None:
        item = await sell(alice, tags=["a", "b"])
        assert (await alice.api.delete(path_of(item))).status_code == 200
        for who, caller in everybody.items():
            for method in METHODS:
                answer = await call(caller, method, path_of(item))
                wanted = 401 if who == "stranger" and method not in {"GET", "HEAD"} else 404
                assert answer.status_code == wanted, (who, method)

    async def test_hiding_and_showing_counts_at_once(
        self, client: httpx.AsyncClient, alice: Person, bob: Person
    ) -> None:
        item = await sell(alice)
        for status, wanted in (("draft", 404), ("active", 200), ("inactive", 404), ("active", 200)):
            await change(alice, item, status=status)
            assert (await client.get(path_of(item))).status_code == wanted
            assert (await bob.api.get(path_of(item))).status_code == wanted
            assert (await alice.api.get(path_of(item))).status_code == 200

    async def test_a_new_role_counts_at_once(self, alice: Person, bob: Person, admin: Person) -> None:
        item = await sell(alice, status="draft")
        for role, seen, deleted in (("moderator", 200, 200), ("user", 404, 404)):
            await admin.api.put(f"/api/v1/users/{bob.id}", json={"role": role})
            assert (await bob.api.get(path_of(item))).status_code == seen
            assert (await bob.api.delete(path_of(item))).status_code == deleted
            item = await sell(alice, status="draft")

    async def test_only_the_public_view_of_the_owner_is_shown(
        self, client: httpx.AsyncClient, alice: Person
    ) -> None:
        item = await sell(alice)
        await alice.api.put(
            "/api/v1/users/me", json={"phone": "+14155552671", "website": "secret.example.com"}
        )
        for path in (path_of(item), ITEMS, f"{SEARCH}?q=Lamp", POPULAR):
            answer = await client.get(path)
            assert "Alice" in answer.text
            for private in (alice.email, "2671", "secret", "hashed", "argon2", "is_active", "role"):
                assert private not in answer.text


class TestLists:
    async def test_hidden_ones_are_for_owner_and_staff(
        self, alice: Person, bob: Person, everybody: dict[str, httpx.AsyncClient]
    ) -> None:
        for owner in (alice, bob):
            for status in ("active", "inactive", "draft"):
                await sell(owner, f"{status} lamp of {'alice' if owner is alice else 'bob'}", status=status)
        everything = {
            f"{status} lamp of {who}"
            for status in ("active", "inactive", "draft")
            for who in ("alice", "bob")
        }
        public = {"active lamp of alice", "active lamp of bob"}
        expected = {
            "stranger": public,
            "owner": public | {"inactive lamp of alice", "draft lamp of alice"},
            "other": public | {"inactive lamp of bob", "draft lamp of bob"},
            "moderator": everything,
            "admin": everything,
        }
        for who, wanted in expected.items():
            caller = everybody[who]
            assert set(await titles(caller)) == wanted, who
            assert (await caller.get(ITEMS)).json()["total"] == len(wanted)
            assert set(await titles(caller, SEARCH, q="lamp")) == wanted
            assert (await caller.get(SEARCH, params={"q": "lamp"})).headers["x-total-count"] == str(
                len(wanted)
            )
            for status in ("active", "inactive", "draft"):
                of_status = {title for title in wanted if title.startswith(status)}
                assert set(await titles(caller, status_filter=status)) == of_status
            of_alice = {title for title in wanted if title.endswith("alice")}
            assert set(await titles(caller, owner_id=alice.id)) == of_alice
            # The popular ones are the same for everybody.
            assert set(await titles(caller, POPULAR)) == public
        assert set(await titles(alice.api, MINE)) == {
            title for title in everything if title.endswith("alice")
        }
        assert await titles(everybody["moderator"], MINE) == []


ROUTES = [
    ("GET", ITEMS),
    ("GET", POPULAR),
    ("GET", f"{SEARCH}?q=x"),
    ("GET", MINE),
    ("POST", ITEMS),
    ("GET", f"{ITEMS}1"),
    ("HEAD", f"{ITEMS}1"),
    ("PUT", f"{ITEMS}1"),
    ("PATCH", f"{ITEMS}1"),
    ("DELETE", f"{ITEMS}1"),
]


class TestCredentials:
    async def test_one_that_fails_is_never_a_stranger(self, client: httpx.AsyncClient, alice: Person) -> None:
        await alice.api.post("/api/v1/auth/logout")
        for method, path in ROUTES:
            for credential in (
                "Bearer nonsense",
                "Bearer",
                "Basic YTpi",
                f"Bearer {alice.token}",
                f"Bearer {alice.refresh_token}",
                "",
            ):
                answer = await client.request(
                    method, path, headers={"Authorization": credential}, json={"title": "Lamp", "price": 1}
                )
                assert answer.status_code == 401, (method, path, credential)
                assert answer.headers["www-authenticate"] == "Bearer"

    async def test_one_is_needed_for_what_is_one_s_own(self, client: httpx.AsyncClient) -> None:
        for method, path in ROUTES:
            answer = await client.request(method, path, json={"title": "Lamp", "price": 1})
            public = method in {"GET", "HEAD"} and path != MINE
            assert (answer.status_code != 401) == public, (method, path)


class TestIds:
    async def test_are_positive_64_bit_integers(
        self, client: httpx.AsyncClient, alice: Person, admin: Person
    ) -> None:
        for text in (
            "0",
            "-1",
            str(2**63),
            str(10**30),
            "x",
            "1.5",
            "1e1",
            "null",
            "%20",
            "1%00",
            "%ff",
            "0x1",
            "\uff11.5",
        ):
            for method in METHODS:
                answer = await call(admin.api, method, f"{ITEMS}{text}")
                assert answer.status_code == 422, (method, text)
                assert method == "HEAD" or code(answer) == (422, "VALIDATION_ERROR")
        for method in METHODS:
            answer = await call(admin.api, method, f"{ITEMS}{2**63 - 1}")
            assert answer.status_code == 404
        for text in ("1/2", "1/images", "a/b"):
            assert code(await client.get(f"{ITEMS}{text}")) == (404, "HTTP_404")

    async def test_both_forms_of_a_path_are_served(self, client: httpx.AsyncClient, alice: Person) -> None:
        item = await sell(alice)
        assert (await client.get(f"{path_of(item)}/")).json() == await read(client, item)
        assert (await client.get(ITEMS.rstrip("/"))).json()["total"] == 1
        assert (await client.get(f"{POPULAR}/")).status_code == 200
        assert (await client.get(SEARCH.rstrip("/"), params={"q": "lamp"})).status_code == 200
        assert (await alice.api.get(f"{MINE}/")).status_code == 200
        answer = await alice.api.post(ITEMS.rstrip("/"), json={"title": "Lamp", "price": 1})
        assert answer.status_code == 201

    async def test_other_methods_are_refused_with_those_there_are(self, alice: Person) -> None:
        item = await sell(alice)
        for method, path, allowed in (
            ("POST", path_of(item), "DELETE, GET, HEAD, PATCH, PUT"),
            ("DELETE", ITEMS, "GET, HEAD, POST, QUERY"),
            ("POST", POPULAR, "GET, HEAD"),
            ("DELETE", SEARCH, "GET, HEAD"),
            ("PUT", MINE, "GET, HEAD"),
        ):
            answer = await alice.api.request(method, path)
            assert code(answer) == (405, "HTTP_405")
            assert answer.headers["allow"] == allowed
