"""What the tests of items do again and again: sell, read lists, and say what an answer was."""

from typing import Any

import httpx
from sqlalchemy import update

from tests.conftest import Person, World
from tradepost.items.models import Item

ITEMS = "/api/v1/items/"
SEARCH = "/api/v1/items/search/"
MINE = "/api/v1/items/user/me"
POPULAR = "/api/v1/items/popular"
CATEGORIES = "/api/v1/categories/"


def path_of(item: dict[str, Any] | int) -> str:
    """Return the address of an item."""
    return f"{ITEMS}{item if isinstance(item, int) else item['id']}"


def ways_to_write(item: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return method, path and the least body of each way to write an item: a new one, or changes to ``item``."""
    return [
        ("POST", ITEMS, {"title": "Lamp", "price": 10}),
        ("PUT", path_of(item), {}),
        ("PATCH", path_of(item), {}),
    ]


async def sell(owner: Person, title: str = "Lamp", price: Any = 10, **fields: Any) -> dict[str, Any]:
    """Put an item up for sale and return it."""
    answer = await owner.api.post(ITEMS, json={"title": title, "price": price, **fields})
    assert answer.status_code == 201, answer.text
    item: dict[str, Any] = answer.json()
    return item


async def change(owner: Person, item: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Change an item and return it as it is then."""
    answer = await owner.api.patch(path_of(item), json=fields)
    assert answer.status_code == 200, answer.text
    changed: dict[str, Any] = answer.json()
    return changed


async def read(caller: httpx.AsyncClient, item: dict[str, Any]) -> dict[str, Any]:
    """Return an item as ``caller`` sees it now."""
    answer = await caller.get(path_of(item))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def page(caller: httpx.AsyncClient, path: str = ITEMS, **query: Any) -> dict[str, Any]:
    """Return the envelope of a list."""
    answer = await caller.get(path, params=query)
    assert answer.status_code == 200, answer.text
    envelope: dict[str, Any] = answer.json()
    return envelope


async def titles(caller: httpx.AsyncClient, path: str = ITEMS, **query: Any) -> list[str]:
    """Return the titles of a list, in its order."""
    answer = await caller.get(path, params=query)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    return [item["title"] for item in (found if isinstance(found, list) else found["items"])]


async def new_category(admin: Person, name: str, **fields: Any) -> dict[str, Any]:
    """Make a category and return it."""
    answer = await admin.api.post(CATEGORIES, json={"name": name, **fields})
    assert answer.status_code == 201, answer.text
    category: dict[str, Any] = answer.json()
    return category


async def set_columns(world: World, item: dict[str, Any], **values: Any) -> None:
    """Set columns of an item behind the application's back, as another process would."""
    async with world.database.transaction() as db:
        await db.execute(update(Item).where(Item.id == item["id"]).values(**values))


def code(answer: httpx.Response) -> tuple[int, str]:
    """Return the status and the error's code."""
    return answer.status_code, answer.json()["error_code"]


def faults(answer: httpx.Response) -> list[tuple[list[str | int], str]]:
    """Return place and kind of each value that a 422 names."""
    assert code(answer) == (422, "VALIDATION_ERROR"), answer.text
    assert answer.json()["detail"] == "Validation error"
    return [(fault["location"], fault["type"]) for fault in answer.json()["errors"]]
