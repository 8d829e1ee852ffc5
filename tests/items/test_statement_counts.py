"""How many statements an answer costs: a fixed number for each endpoint, however many rows there are."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from sqlalchemy import insert

from tests.conftest import Person, World, forget_all
from tests.items.market import ITEMS, MINE, POPULAR, SEARCH
from tradepost.accounts.key_schemas import MOST_KEYS
from tradepost.accounts.models import ApiKey, LoginSession, User
from tradepost.accounts.permissions import Role
from tradepost.bootstrap import build_backlog
from tradepost.categories.models import Category
from tradepost.core.audit.models import ActorKind, AuditLine
from tradepost.core.finishing import alongside
from tradepost.core.messaging.messages import Message, Subscriptions
from tradepost.core.messaging.outbox import MessageState, StoredMessage
from tradepost.events.models import Event, Participant
from tradepost.events.schemas import EventStatus, ParticipantStatus
from tradepost.items.indexing import ItemIndexer
from tradepost.items.messages import ItemCreated, ItemDeleted, ItemUpdated
from tradepost.items.models import Item, ItemTag
from tradepost.items.schemas import ItemStatus
from tradepost.notifications.inbox.models import Notification
from tradepost.tags.models import Tag
from tradepost.webhooks.models import Webhook, WebhookDelivery
from tradepost.webhooks.schemas import DeliveryState, WebhookScope


async def fill(world: World, owner: Person, rows: int) -> dict[str, int]:
    """Make so many rows of everything, and return an id of each kind."""
    now = world.resources.clock.now()
    times = {"created_at": now, "updated_at": now}

    async with world.database.transaction() as db:

        async def add(model: type[Any], *values: dict[str, Any]) -> list[int]:
            return list(
                await db.scalars(insert(model).returning(model.id, sort_by_parameter_order=True), values)
            )

        users = await add(
            User,
            *(
                {
                    "email": f"seller{number}@example.com",
                    "hashed_password": "x",
                    "first_name": f"Seller{number}",
                    "last_name": "Tester",
                    "role": Role.USER,
                    "is_active": True,
                    **times,
                }
                for number in range(rows)
            ),
        )
        login = {
            "user_id": owner.id,
            "counter": 0,
            "created_at": now,
            "rotated_at": now,
            "expires_at": now + timedelta(days=1),
        }
        await add(LoginSession, *[login] * rows)
        (root,) = await add(Category, {"name": "Root", "slug": "root", "is_active": True, **times})
        categories = await add(
            Category,
            *(
                {
                    "name": f"Part {number}",
                    "slug": f"part-{number}",
                    "is_active": True,
                    "parent_id": root,
                    **times,
                }
                for number in range(rows)
            ),
        )
        tags = [f"tag {number}" for number in range(rows)]
        tag_ids = await add(Tag, *({"name": name, **times} for name in tags))
        items = await add(
            Item,
            *(
                {
                    "title": f"Lamp {number}",
                    "description": "It glows",
                    "price": Decimal(number + 1),
                    "status": ItemStatus.ACTIVE,
                    "category_id": categories[number // 2],
                    "images": [],
                    "views": number,
                    "owner_id": users[number // 2] if number % 2 else owner.id,
                    "version": 1,
                    **times,
                }
                for number in range(2 * rows)
            ),
        )
        links = [
            {"item_id": item, "tag": tag, "position": position}
            for item in items
            for position, tag in enumerate(tags[:20])
        ]
        await db.execute(insert(ItemTag), links)
        note = {"user_id": owner.id, "kind": "k", "title": "T", "body": "B", "data": {}, "created_at": now}
        await db.execute(insert(Notification), [{**note, "number": number} for number in range(rows)])
        hook: dict[str, Any] = {
            "user_id": owner.id,
            "url": "https://example.com/",
            "event_types": ["*"],
            "scope": WebhookScope.OWN,
            "is_active": True,
            "nonce": "n",
            **times,
        }
        hooks = await add(Webhook, *({**hook, "slot": slot + 1} for slot in range(min(rows, 20))))
        deliveries = await add(
            WebhookDelivery,
            *(
                {
                    "webhook_id": hooks[0],
                    "message_id": f"msg_{number}",
                    "event_type": "items.created",
                    "body": "{}",
                    "state": DeliveryState.DELIVERED,
                    "attempts": 1,
                    "created_at": now,
                }
                for number in range(rows)
            ),
        )
        key: dict[str, Any] = {
            "user_id": owner.id,
            "name": "Robot",
            "secret_hash": "h",
            "permissions": [],
            "load_test": False,
            "created_at": now,
        }
        keys = await add(
            ApiKey,
            *({**key, "slot": slot + 1, "prefix": f"p{slot}"} for slot in range(min(rows, MOST_KEYS))),
        )
        await add(
            AuditLine,
            *(
                {
                    "at": now,
                    "actor_kind": ActorKind.PERSON,
                    "actor_id": owner.id,
                    "action": "a",
                    "details": {},
                }
                for _ in range(rows)
            ),
        )
        message = {
            "type": "t",
            "subscription": "s",
            "channel": "c",
            "payload": {},
            "state": MessageState.DEAD,
            "attempts": 1,
            "created_at": now,
            "due_at": now,
            "expires_at": now,
        }
        messages = await add(StoredMessage, *(message for _ in range(rows)))
        gathering: dict[str, Any] = {
            "title": "Lamp fair",
            "description": "Where lamps are lit",
            "start_date": now + timedelta(days=1),
            "end_date": now + timedelta(days=2),
            "duration": 86_400,
            "time_zone": "UTC",
            "max_participants": 100,
            "seats": 100,
            "status": EventStatus.PLANNED,
            "organiser_id": owner.id,
            **times,
        }
        events = await add(Event, gathering | {"participants_count": rows}, *[gathering] * (rows - 1))
        seat = {
            "event_id": events[0],
            "status": ParticipantStatus.JOINED,
            "joined_at": now,
            "seated_at": now,
        }
        await add(
            Participant, *({**seat, "user_id": user, "number": at + 1} for at, user in enumerate(users))
        )
    await world.resources[ItemIndexer].refresh()
    return {
        "item": items[0],
        "user": users[0],
        "category": root,
        "tag": tag_ids[0],
        "owner": owner.id,
        "webhook": hooks[0],
        "delivery": deliveries[0],
        "key": keys[0],
        "message": messages[0],
        "event": events[0],
    }


V1 = "/api/v1"
ENDPOINTS: list[tuple[str, str, int]] = [
    # who, path, statements; whoever shows a token costs one
    ("stranger", ITEMS, 2),
    ("owner", ITEMS, 3),
    ("admin", ITEMS, 3),
    ("stranger", f"{ITEMS}?total=false", 1),
    ("stranger", f"{ITEMS}?total=estimated", 2),
    ("stranger", f"{ITEMS}?skip=1&limit=1", 2),
    ("stranger", f"{ITEMS}?sort=-price", 2),
    ("stranger", f"{ITEMS}?sort=title&total=false", 1),
    ("stranger", f"{ITEMS}?sort=views&total=false", 2),
    ("stranger", f"{ITEMS}?sort=-views&total=false", 2),
    ("stranger", f"{ITEMS}?tag=tag+0", 2),
    ("stranger", f"{ITEMS}?category=root", 2),
    # With a filter, the sizes of its parts are read first.
    ("stranger", f"{ITEMS}?category={{category}}&total=false", 2),
    ("stranger", f"{ITEMS}?owner_id={{owner}}", 2),
    ("stranger", f"{ITEMS}?q=glow", 4),
    # No item is a draft: their kept count says so, and none is looked for.
    ("admin", f"{ITEMS}?status_filter=draft", 2),
    ("owner", f"{ITEMS}?q=lamp&tag=tag+0&category=root&min_price=1&max_price=99&sort=price", 6),
    ("stranger", f"{SEARCH}?q=lamp", 5),
    ("owner", f"{SEARCH}?q=lamp&total=false", 6),
    ("owner", MINE, 3),
    ("owner", f"{MINE}?total=false&sort=title", 3),
    # There are not as many items with many views, so all are looked at.
    ("stranger", POPULAR, 3),
    ("owner", f"{POPULAR}?limit=100", 4),
    ("stranger", f"{ITEMS}{{item}}", 1),
    ("owner", f"{ITEMS}{{item}}", 2),
    ("admin", f"{V1}/users/", 3),
    ("admin", f"{V1}/users/?total=false&sort=-email", 2),
    ("admin", f"{V1}/users/{{user}}", 2),
    ("owner", f"{V1}/users/me", 1),
    ("owner", f"{V1}/auth/sessions", 3),
    ("owner", f"{V1}/auth/api-keys", 3),
    ("owner", f"{V1}/audit/me", 2),
    ("admin", f"{V1}/audit", 2),
    ("owner", f"{V1}/auth/api-keys/{{key}}", 2),
    ("stranger", f"{V1}/tags/", 3),
    ("stranger", f"{V1}/tags/?q=tag&total=false&sort=-created_at", 2),
    ("owner", f"{V1}/tags/", 4),
    ("stranger", f"{V1}/tags/{{tag}}", 2),
    ("stranger", f"{V1}/categories/", 2),
    ("admin", f"{V1}/categories/?total=false", 2),
    ("stranger", f"{V1}/categories/?tree=true", 1),
    ("stranger", f"{V1}/categories/{{category}}", 1),
    ("stranger", f"{V1}/categories/root", 1),
    ("owner", f"{V1}/notifications/", 4),
    ("owner", f"{V1}/notifications/?total=false&unread_only=true", 3),
    ("owner", f"{V1}/notifications/preferences", 2),
    ("owner", f"{V1}/webhooks/", 3),
    ("owner", f"{V1}/webhooks/{{webhook}}", 2),
    ("owner", f"{V1}/webhooks/{{webhook}}/deliveries/", 4),
    ("owner", f"{V1}/webhooks/{{webhook}}/deliveries/{{delivery}}", 2),
    ("owner", f"{V1}/upload/usage", 3),
    ("admin", f"{V1}/upload/usage/{{user}}", 3),
    ("admin", f"{V1}/upload/files/", 2),
    ("admin", f"{V1}/users/{{user}}/sessions", 4),
    ("admin", f"{V1}/users/{{user}}/api-keys", 4),
    ("admin", f"{V1}/users/{{user}}/totp", 3),
    ("admin", f"{V1}/admin/webhooks/", 3),
    ("admin", f"{V1}/admin/webhooks/{{webhook}}", 3),
    ("admin", f"{V1}/admin/webhooks/{{webhook}}/deliveries/", 5),
    ("admin", f"{V1}/admin/webhooks/{{webhook}}/deliveries/{{delivery}}", 3),
    ("admin", f"{V1}/admin/messages/", 3),
    ("admin", f"{V1}/admin/messages/{{message}}", 2),
    # Of a window of events, how far before it one may begin is read first; of a person's, where they take part.
    ("stranger", f"{V1}/events/", 3),
    ("owner", f"{V1}/events/?total=false", 4),
    ("stranger", f"{V1}/events/{{event}}", 1),
    ("owner", f"{V1}/events/{{event}}", 3),
    ("owner", f"{V1}/events/{{event}}/participants", 4),
    ("stranger", f"{V1}/events/{{event}}.ics", 1),
]


@pytest.mark.parametrize("rows", [1, 50])
async def test_reading(
    *,
    world: World,
    client: httpx.AsyncClient,
    alice: Person,
    admin: Person,
    statements: Callable[[], Any],
    rows: int,
) -> None:
    ids = await fill(world, alice, rows)
    callers = {"stranger": client, "owner": alice.api, "admin": admin.api}
    parts, found = world.resources, []
    for who, path, _ in ENDPOINTS:
        # Nothing is remembered from the endpoint before.
        forget_all(parts)
        with statements() as sent:
            answer = await callers[who].get(path.format(**ids))
        assert answer.status_code == 200, answer.text
        found.append((who, path, len(sent)))
        assert [
            statement for statement in sent if not statement.startswith(("SELECT", "WITH", "EXPLAIN"))
        ] == []
    assert found == ENDPOINTS


async def test_what_looks_by_itself_meanwhile_is_not_counted(
    world: World, statements: Callable[[], Any]
) -> None:
    looked = asyncio.Event()
    backlog = build_backlog(world.resources, lambda *_, **__: looked.set())
    with statements() as sent:
        async with alongside({"backlog": backlog.run()}):
            await looked.wait()
        assert sent == []
        await backlog.measure()
        assert len(sent) == 2


def test_every_endpoint_that_reads_is_in_the_table(module_world: World) -> None:
    asked = {path.split("?")[0] for _, path, _ in ENDPOINTS}
    names = {
        f"{{{name}_id}}": f"{{{name}}}"
        for name in ("item", "user", "tag", "webhook", "delivery", "key", "message", "event")
    }
    names["{id_or_slug}"] = "{category}"
    documented: set[str] = set()
    for template, operations in module_world.app.openapi()["paths"].items():
        if "get" in operations and template.startswith(V1):
            path: str = template
            for parameter, name in names.items():
                path = path.replace(parameter, name)
            documented.add(path)
    # A stream has no end, a file must be stored, an export reads on as it is taken: counted where they are tested.
    documented -= {
        f"{V1}/notifications/stream",
        f"{V1}/upload/files/{{category}}/{{filename}}",
        f"{ITEMS}export",
        f"{V1}/audit/export",
        f"{V1}/users/me/export",
    }
    assert documented - asked == set()


@pytest.mark.parametrize("tags", [0, 1, 20])
async def test_writing(
    world: World, alice: Person, admin: Person, statements: Callable[[], Any], tags: int
) -> None:
    ids = await fill(world, alice, 1)
    names = [f"new {number}" for number in range(tags)]

    async def cost(method: str, path: str, body: dict[str, Any] | None = None) -> int:
        with statements() as sent:
            answer = await alice.api.request(method, path, json=body)
        assert answer.is_success, answer.text
        ids["new"] = answer.json().get("id", ids.get("new"))
        return len([statement for statement in sent if not statement.startswith("BEGIN")])

    def telling(message: type[Message]) -> int:
        # However many want to hear of it, it is one statement; none when nobody does.
        return bool(world.resources[Subscriptions].by_type.get(message))

    # On PostgreSQL the links go with the item, and what tells of it with its texts; on SQLite they share the way only.
    apart = int(world.database.is_sqlite)
    # A word that search has not met costs a statement more.
    words = {"title": "Lamp, new, other", "price": 1, "description": " ".join(names)}
    assert (await alice.api.post(ITEMS, json=words)).is_success
    # Who asks, its owner, the item, its texts; with tags: which there are, new ones, the links.
    new = {"title": "Lamp", "price": 1, "tags": names}
    assert await cost("POST", ITEMS, new) == 4 + (2 + apart) * bool(tags) + apart * telling(ItemCreated)
    path = f"{ITEMS}{ids['new']}"
    # Who asks, the lock, the change, the item again.
    change = 4 + telling(ItemUpdated)
    # For the texts of the whole: which tags it has, and the texts.
    assert await cost("PATCH", path, {"title": "New"}) == change + 2
    assert await cost("PATCH", path, {}) == 3
    assert await cost("PATCH", path, {"category_id": ids["category"]}) == change + 1
    # Which tags it has, which of the others there are, new ones, its links away and anew, its texts.
    assert await cost("PATCH", path, {"tags": [*names[1:], "other"]}) == change + 6
    assert await cost("PATCH", path, {"tags": []}) == change + 3
    assert await cost("DELETE", path) == 3 + telling(ItemDeleted)
