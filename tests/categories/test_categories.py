"""``/categories``: reading and writing."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import insert

from tests.conftest import Person, World
from tradepost.categories.models import FormerSlug

CATEGORIES = "/api/v1/categories/"


async def make(
    admin: Person, name: str, parent: dict[str, Any] | None = None, **fields: Any
) -> dict[str, Any]:
    body = {"name": name, "parent_id": parent and parent["id"], **fields}
    answer = await admin.api.post(CATEGORIES, json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def sell(owner: Person, category: dict[str, Any]) -> int:
    item = {"title": "Thing", "price": 10, "category_id": category["id"]}
    answer = await owner.api.post("/api/v1/items/", json=item)
    assert answer.status_code == 201, answer.text
    made: int = answer.json()["id"]
    return made


async def shown(api: httpx.AsyncClient, **query: Any) -> Any:
    answer = await api.get(CATEGORIES, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def names(categories: list[dict[str, Any]]) -> list[Any]:
    """The names, and in a tree the names of the children behind each that has some."""
    found: list[Any] = []
    for category in categories:
        found.append(category["name"])
        if category["children"]:
            found.append(names(category["children"]))
    return found


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error_code"]


def location(answer: httpx.Response) -> list[str]:
    assert code(answer) == (422, "VALIDATION_ERROR")
    found: list[str] = answer.json()["errors"][0]["location"]
    return found


class TestReading:
    async def test_a_flat_list(self, client: httpx.AsyncClient, admin: Person) -> None:
        empty = {"categories": [], "total": 0, "page": 1, "size": 100, "pages": 0, "next_cursor": None}
        assert await shown(client) == empty
        books = await make(admin, "books")
        await make(admin, "Comics", books)
        await make(admin, "Zines")
        await make(admin, "Äpfel")
        page = await shown(client)
        assert names(page["categories"]) == ["Äpfel", "books", "Comics", "Zines"]
        assert {category["children"] for category in page["categories"]} == {None}
        assert page["categories"][2]["parent_id"] == books["id"]
        assert names((await shown(client, sort="-name"))["categories"]) == [
            "Zines",
            "Comics",
            "books",
            "Äpfel",
        ]
        assert names((await shown(client, sort="id"))["categories"]) == ["books", "Comics", "Zines", "Äpfel"]
        assert names((await shown(client, sort="-created_at"))["categories"])[0] == "Äpfel"
        page = await shown(client, skip=2, limit=1)
        assert names(page["categories"]) == ["Comics"]
        assert (page["total"], page["page"], page["size"], page["pages"]) == (4, 3, 1, 4)
        page = await shown(client, total="false")
        assert (page["total"], page["pages"]) == (None, None)

    async def test_a_tree(self, client: httpx.AsyncClient, admin: Person) -> None:
        empty = {"categories": [], "total": 0, "page": 1, "size": 0, "pages": 0, "next_cursor": None}
        assert await shown(client, tree=True) == empty
        books = await make(admin, "Books")
        comics = await make(admin, "Comics", books)
        await make(admin, "Manga", comics)
        await make(admin, "Atlases", books)
        await make(admin, "Art")
        page = await shown(client, tree=True)
        tree = ["Art", "Books", ["Atlases", "Comics", ["Manga"]]]
        assert names(page["categories"]) == tree
        assert (page["total"], page["page"], page["size"], page["pages"]) == (5, 1, 5, 1)
        assert page["categories"][0]["children"] == []
        # The whole tree, whatever the window.
        assert names((await shown(client, tree=True, skip=3, limit=1))["categories"]) == tree
        by_age = (await shown(client, tree=True, sort="created_at"))["categories"]
        assert names(by_age) == ["Books", ["Comics", ["Manga"], "Atlases"], "Art"]
        page = await shown(client, tree=True, total="false")
        assert (page["total"], page["pages"], page["size"]) == (None, None, 5)

    async def test_one_by_id_and_by_slug(self, client: httpx.AsyncClient, admin: Person) -> None:
        books = await make(admin, "Books & More", description=" To read ")
        assert books | {"id": 0, "created_at": "", "updated_at": ""} == {
            "id": 0,
            "name": "Books & More",
            "slug": "books-more",
            "description": "To read",
            "is_active": True,
            "parent_id": None,
            "children": [],
            "created_at": "",
            "updated_at": "",
        }
        assert books["created_at"] == books["updated_at"]
        comics = await make(admin, "Comics", books)
        manga = await make(admin, "Manga", comics)
        expected = books | {"children": [comics | {"children": [manga]}]}
        assert (await client.get(f"{CATEGORIES}{books['id']}")).json() == expected
        assert (await client.get(f"{CATEGORIES}books-more")).json() == expected
        assert (await client.get(f"{CATEGORIES}{comics['id']}")).json()["children"] == [manga]

    @pytest.mark.parametrize(
        "key", ["0", "999999", "nothing", str(2**63), "9" * 100, "\u0661", "BOOKS", "%", "a b"]
    )
    async def test_no_such_category(self, client: httpx.AsyncClient, admin: Person, key: str) -> None:
        await make(admin, "Books")
        for api in (client, admin.api):
            answer = await api.get(f"{CATEGORIES}{key.replace('%', '%25')}")
            assert code(answer) == (404, "CATEGORY_NOT_FOUND")
            assert answer.json()["detail"] == "Category not found"

    async def test_inactive_ones_and_what_is_below_them_are_for_staff(
        self, client: httpx.AsyncClient, admin: Person, moderator: Person, alice: Person
    ) -> None:
        books = await make(admin, "Books")
        comics = await make(admin, "Comics", books, is_active=False)
        manga = await make(admin, "Manga", comics)
        await make(admin, "Early", manga)
        await make(admin, "Art", is_active=False)
        for api in (client, alice.api):
            for tree in (False, True):
                for total in ("exact", "estimated"):
                    page = await shown(api, tree=tree, total=total)
                    assert (names(page["categories"]), page["total"]) == (["Books"], 1)
                assert names((await shown(api, tree=tree, is_active=True))["categories"]) == ["Books"]
                assert (await shown(api, tree=tree, is_active=False))["categories"] == []
            assert (await api.get(f"{CATEGORIES}{books['id']}")).json()["children"] == []
            for key in (comics["id"], "comics", "art", manga["id"], "manga", "early"):
                assert code(await api.get(f"{CATEGORIES}{key}")) == (404, "CATEGORY_NOT_FOUND")
        for api in (admin.api, moderator.api):
            page = await shown(api)
            assert names(page["categories"]) == ["Art", "Books", "Comics", "Early", "Manga"]
            assert page["total"] == 5
            page = await shown(api, tree=True)
            assert names(page["categories"]) == ["Art", "Books", ["Comics", ["Manga", ["Early"]]]]
            assert page["total"] == 5
            for tree in (False, True):
                assert names((await shown(api, tree=tree, is_active=True))["categories"]) == ["Books"]
                page = await shown(api, tree=tree, is_active=False)
                assert (names(page["categories"]), page["total"]) == (["Art", "Comics"], 2)
            assert names([(await api.get(f"{CATEGORIES}comics")).json()]) == ["Comics", ["Manga", ["Early"]]]
        # What is switched on again shows with all below it.
        await admin.api.patch(f"{CATEGORIES}comics", json={"is_active": True})
        assert names((await shown(client, tree=True))["categories"]) == [
            "Books",
            ["Comics", ["Manga", ["Early"]]],
        ]
        assert names((await shown(client))["categories"]) == ["Books", "Comics", "Early", "Manga"]
        assert (await client.get(f"{CATEGORIES}early")).status_code == 200

    async def test_each_answer_takes_few_statements(
        self, world: World, admin: Person, statements: Callable[[], Any]
    ) -> None:
        top: dict[str, Any] | None = None
        for level in range(10):
            top = await make(admin, f"Level {level}", top)
            await make(admin, f"Leaf {level}", top if level < 9 else None)
        async with world.caller() as client:
            for path, count in (("", 2), ("?total=false", 1), ("?tree=true", 1), ("level-0", 1)):
                with statements() as sent:
                    assert (await client.get(f"{CATEGORIES}{path}")).status_code == 200
                assert len(sent) == count, sent

    @pytest.mark.parametrize(
        "query",
        [{"skip": -1}, {"limit": 0}, {"limit": 101}, {"sort": "slug"}, {"tree": "maybe"}, {"is_active": "?"}],
    )
    async def test_bad_queries(self, client: httpx.AsyncClient, query: dict[str, Any]) -> None:
        answer = await client.get(CATEGORIES, params=query)
        assert location(answer) == ["query", next(iter(query))]

    async def test_a_credential_that_fails_is_refused(self, client: httpx.AsyncClient) -> None:
        for path in (CATEGORIES, f"{CATEGORIES}1"):
            answer = await client.get(path, headers={"Authorization": "Bearer nonsense"})
            assert answer.status_code == 401


class TestWriting:
    async def test_admins_only(
        self, client: httpx.AsyncClient, alice: Person, moderator: Person, admin: Person
    ) -> None:
        books = await make(admin, "Books")
        calls: list[tuple[str, str, Any]] = [
            ("POST", CATEGORIES, {"name": "Third"}),
            ("PUT", f"{CATEGORIES}{books['id']}", {"name": "Third"}),
            ("PATCH", f"{CATEGORIES}{books['id']}", {"name": "Third"}),
            ("DELETE", f"{CATEGORIES}{books['id']}", None),
        ]
        for method, path, body in calls:
            assert (await client.request(method, path, json=body)).status_code == 401
            for person in (alice, moderator):
                answer = await person.api.request(method, path, json=body)
                assert answer.status_code == 403
                assert answer.json()["detail"] == "Insufficient permissions"
        assert (await client.get(f"{CATEGORIES}books")).json() == books

    @pytest.mark.parametrize(
        "body",
        [
            {"name": ""},
            {"name": " \u3000 "},
            {"name": None},
            {"name": 5},
            {"name": "x" * 101},
            {"name": "a\nb"},
            {"name": "fine", "description": "x" * 501},
            {"name": "fine", "is_active": None},
            {"name": "fine", "is_active": 0},
            {"name": "fine", "is_active": "true"},
            {"name": "fine", "slug": "mine"},
            {"name": "fine", "children": []},
            {"name": "fine", "parent_id": 0},
            {"name": "fine", "parent_id": "first"},
        ],
    )
    async def test_bad_input(self, client: httpx.AsyncClient, admin: Person, body: dict[str, Any]) -> None:
        assert code(await admin.api.post(CATEGORIES, json=body)) == (422, "VALIDATION_ERROR")
        kept = await make(admin, "Kept", description="This too")
        answer = await admin.api.patch(f"{CATEGORIES}{kept['id']}", json=body)
        assert code(answer) == (422, "VALIDATION_ERROR")
        assert (await client.get(f"{CATEGORIES}kept")).json() == kept

    async def test_a_name_is_required_once(self, admin: Person) -> None:
        assert location(await admin.api.post(CATEGORIES, json={})) == ["body", "name"]
        kept = await make(admin, "Kept")
        assert (await admin.api.patch(f"{CATEGORIES}kept", json={})).json() == kept

    async def test_slugs_are_unique(self, client: httpx.AsyncClient, admin: Person) -> None:
        slugs = [
            (await make(admin, name))["slug"]
            for name in ("Toys", "toys!", "TOYS", "Toys 2", "2024", "🎉", "🎈")
        ]
        assert slugs == ["toys", "toys-2", "toys-3", "toys-2-2", "c-2024", "category", "category-2"]
        for slug in slugs:
            assert (await client.get(f"{CATEGORIES}{slug}")).json()["slug"] == slug
        assert (await make(admin, "x" * 100))["slug"] == "x" * 100
        assert (await make(admin, "x" * 100))["slug"] == "x" * 100 + "-2"
        assert (await client.get(f"{CATEGORIES}{'x' * 100}-2")).status_code == 200

    async def test_a_new_name_makes_a_new_slug(self, client: httpx.AsyncClient, admin: Person) -> None:
        await make(admin, "Toys")
        second = await make(admin, "Toys")
        path = f"{CATEGORIES}{second['id']}"
        # Its own slug is not in the way.
        assert (await admin.api.patch(path, json={"name": "TOYS"})).json()["slug"] == "toys-2"
        assert (await admin.api.patch(path, json={"name": "Games"})).json()["slug"] == "games"
        assert (await admin.api.patch(path, json={"description": "Fun"})).json()["slug"] == "games"

    async def test_a_former_slug_leads_to_the_category(
        self, client: httpx.AsyncClient, admin: Person
    ) -> None:
        async def led(former: str, api: httpx.AsyncClient = client) -> str | int:
            answer = await api.get(f"{CATEGORIES}{former}")
            return answer.headers["Location"] if answer.status_code == 301 else answer.status_code

        toys = await make(admin, "Toys")
        path = f"{CATEGORIES}{toys['id']}"
        for name in ("Games", "Puzzles"):
            assert (await admin.api.patch(path, json={"name": name})).status_code == 200
        assert await led("toys") == await led("games") == await led("toys/") == f"{CATEGORIES}puzzles"
        assert await led("toys?counts=true") == f"{CATEGORIES}puzzles?counts=true"
        assert (await client.get(f"{CATEGORIES}toys", follow_redirects=True)).json()["id"] == toys["id"]
        assert code(await admin.api.patch(f"{CATEGORIES}toys", json={})) == (404, "CATEGORY_NOT_FOUND")
        # A slug that is taken again leads nowhere else, and one that is taken back is no former one.
        other = await make(admin, "Toys")
        assert (await client.get(f"{CATEGORIES}toys")).json()["id"] == other["id"]
        assert (await admin.api.patch(path, json={"name": "Games"})).json()["slug"] == "games"
        assert (await client.get(f"{CATEGORIES}games")).json()["id"] == toys["id"]
        assert await led("puzzles") == f"{CATEGORIES}games"
        # What does not show is not told of, and what is gone leads nowhere.
        await admin.api.patch(path, json={"is_active": False})
        assert (await led("puzzles"), await led("puzzles", admin.api)) == (404, f"{CATEGORIES}games")
        assert (await admin.api.delete(path)).status_code == 200
        assert await led("puzzles", admin.api) == 404

    async def test_a_slug_that_the_release_before_gave_leads_to_who_gives_it_up(
        self, client: httpx.AsyncClient, admin: Person, world: World
    ) -> None:
        """That release knows nothing of former slugs, and leaves what stands for another category."""
        toys, other = await make(admin, "Toys"), await make(admin, "Other")
        async with world.database.transaction() as db:
            await db.execute(insert(FormerSlug).values(slug="toys", category_id=other["id"]))
        answer = await admin.api.patch(f"{CATEGORIES}{toys['id']}", json={"name": "Games"})
        assert answer.status_code == 200, answer.text
        assert (await client.get(f"{CATEGORIES}toys")).headers["Location"] == f"{CATEGORIES}games"

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    async def test_only_sent_fields_change(self, admin: Person, method: str) -> None:
        first = await make(admin, "Books", description="To read")
        path = f"{CATEGORIES}books"
        for either in (f"{CATEGORIES}{first['id']}", path):
            assert (await admin.api.request(method, either, json={})).json() == first
            assert (await admin.api.request(method, either, json={"name": "Books"})).json() == first
        changed = (
            await admin.api.request(method, path, json={"description": None, "is_active": False})
        ).json()
        assert changed["updated_at"] > first["updated_at"]
        assert changed == first | {
            "description": None,
            "is_active": False,
            "updated_at": changed["updated_at"],
        }
        answer = await admin.api.request(method, f"{CATEGORIES}none", json={"name": "x"})
        assert code(answer) == (404, "CATEGORY_NOT_FOUND")

    async def test_deleting(self, client: httpx.AsyncClient, admin: Person) -> None:
        books = await make(admin, "Books")
        await make(admin, "Art")
        for key in (books["id"], "art"):
            answer = await admin.api.delete(f"{CATEGORIES}{key}")
            assert (answer.status_code, answer.json()) == (200, {"message": "Category deleted successfully"})
            assert code(await admin.api.delete(f"{CATEGORIES}{key}")) == (404, "CATEGORY_NOT_FOUND")
        assert (await shown(client))["categories"] == []
        assert (await make(admin, "Books"))["id"] > books["id"]
