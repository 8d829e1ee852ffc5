"""The made-up marketplace arrives whole or not at all, the same on both engines, beside whatever is there."""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from textwrap import dedent

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import delete, func, select, update

from tests.clock import MovableClock
from tests.conftest import Person, Template, World, settings_for
from tradepost.accounts.models import User
from tradepost.accounts.passwords import PasswordHasher
from tradepost.accounts.permissions import Role
from tradepost.bootstrap import opened
from tradepost.categories.models import Category
from tradepost.core.database.engines import Database
from tradepost.core.database.models import Base
from tradepost.core.storage.store import Storage
from tradepost.events.models import Event, Participant, Reminder
from tradepost.events.reminders import due_moments
from tradepost.events.schemas import EventStatus, ParticipantStatus
from tradepost.events.texts import words_of
from tradepost.items.counting import ItemCounting
from tradepost.items.models import Item, ItemTag, ItemText
from tradepost.items.repository.search import ItemSearchRepository
from tradepost.items.schemas import ItemStatus
from tradepost.media.models import StoredFile
from tradepost.media.schemas import FileState
from tradepost.seeding import supply
from tradepost.seeding.fingerprint import fingerprint
from tradepost.seeding.gallery import Gallery
from tradepost.seeding.generator import NOW, Marketplace, tag_names
from tradepost.seeding.loader import PASSWORD, SeedRefused, SeedReport, seed
from tradepost.tags.models import Tag

# The same on both engines; whoever changes a word or a weight puts the new value here.
FINGERPRINT = "748befe60ccfb3cf9faa08ac3a104a68e46306826ce0f58f52fe9c8cd94413e1"

WITH_EVENTS = "d1f20fb8a82b725f68373b56c384f3a70ddfe83e107c605f31188166592a3755"
WITH_PICTURES = "4441189af86e9cf6eaa4b5879354ccaf0cc380eda0327d673ea497cb9ce88c1a"

MOMENT = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)


@pytest_asyncio.fixture
async def fresh(template: Template, tmp_path: Path) -> AsyncIterator[Database]:
    """A database in which nothing but the first superuser was ever stored."""
    async with opened(settings_for(await template.copy(), tmp_path)) as resources:
        yield resources.database


async def fill(
    database: Database, *, users: int = 20, items: int = 300, events: int = 0, append: bool = False
) -> SeedReport:
    return await seed(
        database, seed=42, users=users, items=items, events=events, append=append, environment="local"
    )


async def count(database: Database, model: type[Base]) -> int:
    async with database.read() as db:
        return await db.scalar(select(func.count()).select_from(model)) or 0


async def counts(database: Database) -> list[int]:
    return [await count(database, model) for model in (User, Item, Tag, Category)]


async def everything_deleted(database: Database) -> None:
    async with database.transaction() as db:
        await db.execute(update(Category).values(parent_id=None))
        for model in (ItemTag, Item, Tag, Category, Event):
            await db.execute(delete(model))
        await db.execute(delete(User).where(User.role != Role.ADMIN))


def somebody(email: str, role: Role = Role.USER) -> User:
    return User(
        email=email,
        hashed_password="x",
        first_name="Some",
        last_name="Body",
        role=role,
        is_active=True,
        created_at=MOMENT,
        updated_at=MOMENT,
    )


def category(slug: str) -> Category:
    return Category(name=slug, slug=slug, is_active=True, created_at=MOMENT, updated_at=MOMENT)


async def schema(database: Database) -> list[tuple[object, ...]]:
    """Everything that a filling sets aside: indexes, foreign keys and triggers, and whether these are on."""
    statement = """
        SELECT 'index', indexname::text, indexdef FROM pg_indexes WHERE schemaname = 'public'
        UNION ALL SELECT 'key', conname, pg_get_constraintdef(oid) || convalidated::text FROM pg_constraint
        UNION ALL SELECT 'trigger', tgname, pg_get_triggerdef(oid) || tgenabled::text FROM pg_trigger WHERE NOT tgisinternal
    """
    if database.is_sqlite:
        statement = (
            "SELECT type, name, sql FROM sqlite_master WHERE type <> 'table' OR name NOT LIKE 'sqlite_%'"
        )
    async with database.engine.connect() as connection:
        found = (await connection.exec_driver_sql(statement)).all()
    return sorted(map(tuple, found), key=str)


class TestAFreshDatabase:
    async def test_report(self, fresh: Database) -> None:
        report = await fill(fresh)
        assert (report.users, report.items) == (20, 300)
        assert await counts(fresh) == [21, 300, report.tags, report.categories]
        assert report.tags == len(tag_names())
        assert 0 < report.seconds < 60

    async def test_the_fingerprint_is_the_same_on_both_engines(self, fresh: Database) -> None:
        assert (await fill(fresh)).fingerprint == FINGERPRINT

    async def test_the_fingerprint_is_of_what_is_stored(self, fresh: Database) -> None:
        report = await fill(fresh)
        async with fresh.read() as db:
            assert await fingerprint(db) == report.fingerprint

    async def test_many_come_from_processes_of_their_own(
        self, fresh: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(supply, "FEW", 0)
        monkeypatch.setattr(supply, "SHARE", 100)
        monkeypatch.setattr(os, "cpu_count", lambda: 2)
        assert (await fill(fresh)).fingerprint == FINGERPRINT

    async def test_indexes_keys_and_triggers_are_as_before(self, fresh: Database) -> None:
        before = await schema(fresh)
        await fill(fresh)
        assert await schema(fresh) == before

    async def test_counts_and_search_know_every_item(self, fresh: Database) -> None:
        await fill(fresh)
        assert await ItemCounting(fresh).differences() == []
        async with fresh.transaction() as db:
            await db.execute(delete(ItemTag).where(ItemTag.item_id < 50))
            await db.execute(delete(Item).where(Item.id == 51))
        assert await ItemCounting(fresh).differences() == []
        async with fresh.read() as db:
            is_found = await ItemSearchRepository(db).find_all("vintage")
            found = set(await db.scalars(select(Item.id).where(is_found)))
            texts = select(
                ItemText.title + " " + ItemText.tags + " " + ItemText.description, ItemText.item_id
            )
            stored = (await db.execute(texts)).all()
        assert found == {item_id for words, item_id in stored if "vintage" in words.split()}
        assert len(found) > 20

    async def test_ids_count_from_one(self, fresh: Database) -> None:
        await fill(fresh)
        async with fresh.read() as db:
            items = list(await db.scalars(select(Item.id).order_by(Item.id)))
            emails = list(await db.scalars(select(User.email).order_by(User.id)))
        assert items == list(range(1, 301))
        assert emails == ["admin@example.com", *(f"user{number}@example.com" for number in range(1, 21))]

    async def test_newer_items_have_higher_ids(self, fresh: Database) -> None:
        await fill(fresh)
        async with fresh.read() as db:
            by_id = list(await db.scalars(select(Item.id).order_by(Item.id)))
            by_time = list(await db.scalars(select(Item.id).order_by(Item.created_at)))
        assert by_id == by_time

    async def test_ids_go_on(self, fresh: Database) -> None:
        await fill(fresh)
        async with fresh.transaction() as db:
            user, tag, root = somebody("new@example.com"), Tag(name="new one"), category("new")
            tag.created_at = tag.updated_at = MOMENT
            db.add_all([user, tag, root])
            await db.flush()
            last = await db.scalar(select(func.max(User.id)).where(User.email.like("user%")))
            assert last is not None
            assert user.id == last + 1
            assert tag.id == 1 + len(tag_names())
            assert root.id > 100

    async def test_rows_are_stored_as_the_models_would(self, fresh: Database) -> None:
        await fill(fresh)
        made = list(Marketplace(seed=42, users=20, items=300).wares())
        async with fresh.read() as db:
            stored = list(await db.scalars(select(Item).order_by(Item.id)))
            owners = dict((await db.execute(select(User.id, User.email))).all())
            slugs = dict((await db.execute(select(Category.id, Category.slug))).all())
        assert [
            (row.title, row.description, row.price, row.discount_price, row.tax, row.status, row.views)
            for row in stored
        ] == [(*row[:6], row.views) for row in made]
        for row, item in zip(stored, made, strict=True):
            assert row.created_at == row.updated_at == item.created_at
            assert (row.images, row.version) == ([], 1)
            assert owners[row.owner_id] == f"user{item.owner + 1}@example.com"
            assert (row.category_id is None) == (item.category is None)
        assert len({slugs[row.category_id] for row in stored if row.category_id}) > 20

    async def test_the_query_planner_knows_the_tables(self, fresh: Database) -> None:
        await fill(fresh)
        statistics = "sqlite_stat1" if fresh.is_sqlite else "pg_stats"
        name = "tbl" if fresh.is_sqlite else "tablename"
        async with fresh.read() as db:
            connection = await db.connection()
            found = (await connection.exec_driver_sql(f"SELECT DISTINCT {name} FROM {statistics}")).scalars()  # noqa: S608
            assert {"users", "items", "item_tags", "tags", "categories"} <= set(found)

    async def test_progress(self, fresh: Database) -> None:
        told: list[tuple[int, int]] = []
        await seed(
            fresh,
            seed=1,
            users=30,
            items=4100,
            append=False,
            environment="staging",
            progress=lambda done, total: told.append((done, total)),
        )
        assert told == [(30, 4130), (2030, 4130), (4030, 4130), (4130, 4130)]

    @pytest.mark.parametrize(("users", "items"), [(0, 0), (1, 0), (1, 1)])
    async def test_small_sizes(self, fresh: Database, users: int, items: int) -> None:
        report = await fill(fresh, users=users, items=items)
        assert (await counts(fresh))[:2] == [users + 1, items]
        assert report.tags == len(tag_names())


class TestEvents:
    async def test_the_fingerprint_is_the_same_on_both_engines_and_of_what_is_stored(
        self, fresh: Database
    ) -> None:
        report = await fill(fresh, events=40)
        assert report.events == await count(fresh, Event) == 40
        assert report.fingerprint == WITH_EVENTS
        async with fresh.read() as db:
            assert await fingerprint(db) == WITH_EVENTS

    async def test_seats_agree_with_those_who_are_in(self, fresh: Database) -> None:
        await fill(fresh, users=60, items=0, events=60)
        async with fresh.read() as db:
            events = list(await db.scalars(select(Event).order_by(Event.id)))
            people = list(
                await db.scalars(select(Participant).order_by(Participant.event_id, Participant.number))
            )
        in_all = Counter((one.event_id, one.status) for one in people)
        for event in events:
            seated = in_all[event.id, ParticipantStatus.JOINED]
            assert (event.participants_count, event.waiting_count) == (
                seated,
                in_all[event.id, ParticipantStatus.WAITING],
            )
            assert event.seats == event.max_participants
            assert event.words == words_of(event.title, event.description)
            assert timedelta(seconds=event.duration) == event.end_date - event.start_date
            mine = [one for one in people if one.event_id == event.id]
            assert [one.status for one in mine] == sorted(one.status for one in mine)
            assert event.last_number == (mine[-1].number if mine else 0)
            assert all((one.seated_at == one.joined_at) == (one.status == "joined") for one in mine)
        assert sum(event.waiting_count > 0 for event in events) > 3
        assert all(event.waiting_count == 0 or event.participants_count == event.seats for event in events)

    async def test_reminders_are_those_still_to_come(self, fresh: Database) -> None:
        await seed(fresh, seed=42, users=20, items=0, events=80, clock=MovableClock(stopped_at=NOW))
        async with fresh.read() as db:
            events = {event.id: event for event in await db.scalars(select(Event))}
            reminders = set(
                (await db.execute(select(Reminder.event_id, Reminder.kind, Reminder.due_at))).all()
            )
        assert reminders == {
            (event.id, kind, due_at)
            for event in events.values()
            if event.status is EventStatus.PLANNED
            for kind, due_at in due_moments(event.start_date, now=NOW).items()
        }
        assert reminders

    async def test_go_on_after_what_is_there(self, fresh: Database) -> None:
        await fill(fresh, users=5, items=0, events=10)
        await fill(fresh, users=8, items=0, events=10, append=True)
        async with fresh.read() as db:
            titles = list(await db.scalars(select(Event.title).order_by(Event.id)))
            newer = select(User.email).join(Event, Event.organiser_id == User.id).where(Event.id > 10)
            organisers = set(await db.scalars(newer))
        assert titles[:10] != titles[10:]
        assert organisers <= {f"user{number}@example.com" for number in range(6, 14)}

    async def test_an_event_needs_somebody(self, fresh: Database) -> None:
        with pytest.raises(SeedRefused, match="somebody"):
            await fill(fresh, users=0, items=0, events=1)


class TestPictures:
    async def test_are_the_same_on_both_engines_and_in_the_storage(
        self, template: Template, tmp_path: Path
    ) -> None:
        async with opened(settings_for(await template.copy(), tmp_path)) as resources:
            database = resources.database
            report = await seed(database, seed=42, users=5, items=60, pictures=25, gallery=Gallery(resources))
            assert report.fingerprint == WITH_PICTURES
            async with database.read() as db:
                assert await fingerprint(db) == WITH_PICTURES
                newest = select(Item).where(Item.status == ItemStatus.ACTIVE).order_by(Item.id.desc())
                items = list(await db.scalars(newest))
                files = {file.name: file for file in await db.scalars(select(StoredFile))}
            assert [len(item.images) for item in items[:26]] == [1] * 25 + [0]
            assert {item.version for item in items} == {1}
            shown = {url.rpartition("/")[2]: item for item in items for url in item.images}
            assert shown.keys() == files.keys()
            for name, item in shown.items():
                file = files[name]
                assert (file.owner_id, file.subject_id, file.state) == (
                    item.owner_id,
                    item.id,
                    FileState.STORED,
                )
                async with resources[Storage].open(name) as chunks:
                    data = b"".join([chunk async for chunk in chunks])
                assert (len(data), sha256(data).hexdigest()) == (file.size, file.sha256)
            assert len({file.sha256 for file in files.values()}) == 25

    async def test_more_than_items(self, template: Template, tmp_path: Path) -> None:
        async with opened(settings_for(await template.copy(), tmp_path)) as resources:
            await seed(resources.database, seed=42, users=5, items=4, pictures=9, gallery=Gallery(resources))
            async with resources.database.read() as db:
                statuses = list(await db.scalars(select(Item.status)))
            assert await count(resources.database, StoredFile) == statuses.count(ItemStatus.ACTIVE)


class TestTheFingerprint:
    async def test_does_not_depend_on_ids_which_are_never_used_again(self, fresh: Database) -> None:
        first = await fill(fresh, users=5, items=40)
        await everything_deleted(fresh)
        second = await fill(fresh, users=5, items=40)
        assert second.fingerprint == first.fingerprint
        async with fresh.read() as db:
            assert await db.scalar(select(func.min(Item.id))) == 41
            assert await db.scalar(select(func.min(Tag.id))) == first.tags + 1
            assert await db.scalar(select(func.min(Category.id))) == first.categories + 1

    async def test_does_not_depend_on_admins(self, fresh: Database) -> None:
        async with fresh.transaction() as db:
            await db.execute(delete(User))
        without = await fill(fresh, users=5, items=40)
        async with fresh.transaction() as db:
            db.add(somebody("boss@example.com", Role.ADMIN))
        async with fresh.read() as db:
            assert await fingerprint(db) == without.fingerprint

    async def test_changes_with_the_seed(self, fresh: Database) -> None:
        first = await fill(fresh, users=5, items=40)
        await everything_deleted(fresh)
        second = await seed(fresh, seed=43, users=5, items=40, append=False, environment="local")
        assert second.fingerprint != first.fingerprint

    async def test_changes_with_anything_stored(self, fresh: Database) -> None:
        seen = {(await fill(fresh, users=5, items=40)).fingerprint}
        changes = (
            update(Item).where(Item.id == 7).values(views=Item.views + 1),
            update(Item).where(Item.id == 7).values(category_id=1),
            update(User).where(User.email == "user3@example.com").values(first_name="Another"),
            update(Tag).where(Tag.name == "vintage").values(description="old"),
            update(Category).where(Category.id == 2).values(parent_id=None),
            delete(ItemTag).where(ItemTag.tag == "vintage"),
        )
        for change in changes:
            async with fresh.transaction() as db:
                await db.execute(change)
            async with fresh.read() as db:
                seen.add(await fingerprint(db))
        assert len(seen) == 1 + len(changes)


class TestAppending:
    async def test_goes_on_after_what_is_there(self, fresh: Database) -> None:
        first = await fill(fresh, users=5, items=40)
        second = await fill(fresh, users=3, items=30, append=True)
        assert (second.users, second.items, second.tags, second.categories) == (3, 30, 0, 0)
        assert second.fingerprint != first.fingerprint
        assert await counts(fresh) == [9, 70, first.tags, first.categories]
        async with fresh.read() as db:
            emails = set(await db.scalars(select(User.email).where(User.role != Role.ADMIN)))
            moderators = list(await db.scalars(select(User.email).where(User.role == Role.MODERATOR)))
            titles = list(await db.scalars(select(Item.title).order_by(Item.id)))
            new_owners = set(
                await db.scalars(select(User.email).join(Item, Item.owner_id == User.id).where(Item.id > 40))
            )
        assert emails == {f"user{number}@example.com" for number in range(1, 9)}
        assert moderators == ["user1@example.com"]
        assert titles[:30] != titles[40:]
        assert new_owners <= {f"user{number}@example.com" for number in (6, 7, 8)}

    async def test_is_the_same_each_time(self, fresh: Database) -> None:
        async def twice() -> str:
            await fill(fresh, users=5, items=40)
            return (await fill(fresh, users=3, items=30, append=True)).fingerprint

        first = await twice()
        await everything_deleted(fresh)
        assert await twice() == first

    async def test_to_an_empty_database_is_like_filling_it(self, fresh: Database) -> None:
        appended = await fill(fresh, append=True)
        assert appended.fingerprint == FINGERPRINT

    async def test_shares_the_tags_and_categories_of_others(self, fresh: Database) -> None:
        async with fresh.transaction() as db:
            db.add(somebody("user7@example.com"))
            db.add(somebody("user8@elsewhere.example.com"))
            db.add(somebody("user09@example.com"))
            db.add(Tag(name="vintage", description="ours", created_at=MOMENT, updated_at=MOMENT))
            db.add(category("furniture"))
        report = await fill(fresh, users=3, items=40, append=True)
        assert report.tags == len(tag_names()) - 1
        assert await count(fresh, Tag) == len(tag_names())
        assert await count(fresh, Category) == report.categories + 1
        async with fresh.read() as db:
            emails = set(await db.scalars(select(User.email).where(User.created_at < MOMENT)))
            root = await db.scalar(select(Category.id).where(Category.slug == "furniture"))
            children = await db.scalar(select(func.count()).where(Category.parent_id == root))
            assert await db.scalar(select(Tag.description).where(Tag.name == "vintage")) == "ours"
        assert {"user8@example.com", "user9@example.com", "user10@example.com"} <= emails
        assert children

    async def test_hands_out_no_id_again(self, fresh: Database) -> None:
        await fill(fresh, users=2, items=5)
        async with fresh.transaction() as db:
            gone = category("gone")
            db.add(gone)
            await db.flush()
            await db.delete(gone)
        await fill(fresh, users=1, items=1, append=True)
        async with fresh.transaction() as db:
            new = category("new")
            db.add(new)
            await db.flush()
            assert new.id == gone.id + 1


class TestRefusals:
    @pytest.mark.parametrize(
        "row",
        [
            lambda: somebody("person@example.com"),
            lambda: somebody("second@example.com", Role.ADMIN),
            lambda: Tag(name="one", created_at=MOMENT, updated_at=MOMENT),
            lambda: category("one"),
        ],
        ids=["user", "admin", "tag", "category"],
    )
    async def test_of_a_database_with_rows(self, fresh: Database, row: Callable[[], Base]) -> None:
        async with fresh.transaction() as db:
            db.add(row())
        before = await counts(fresh)
        with pytest.raises(SeedRefused, match="--append"):
            await fill(fresh)
        assert await counts(fresh) == before

    async def test_of_a_database_that_was_filled(self, fresh: Database) -> None:
        await fill(fresh, users=1, items=0)
        with pytest.raises(SeedRefused, match="--append"):
            await fill(fresh)

    @pytest.mark.parametrize("append", [False, True])
    async def test_of_production(self, fresh: Database, *, append: bool) -> None:
        with pytest.raises(SeedRefused, match="Production"):
            await seed(fresh, seed=1, users=1, items=1, append=append, environment="production")
        assert await counts(fresh) == [1, 0, 0, 0]

    @pytest.mark.parametrize(("users", "items"), [(0, 1), (-1, 0), (1, -1)])
    async def test_of_sizes(self, fresh: Database, users: int, items: int) -> None:
        with pytest.raises(SeedRefused):
            await fill(fresh, users=users, items=items)

    async def test_one_that_is_killed_leaves_everything_as_it_was(self, fresh: Database) -> None:
        before = await schema(fresh)
        url = fresh.options.url.render_as_string(hide_password=False)
        program = f"""
            import asyncio, os, signal
            from sqlalchemy import make_url
            from tradepost.core.database.engines import Database
            from tradepost.core.database.options import DatabaseOptions
            from tradepost.seeding.loader import seed

            def die(done: int, _total: int) -> None:
                if done > 2000:
                    os.kill(os.getpid(), signal.SIGKILL)

            async def main() -> None:
                await seed(Database(DatabaseOptions(make_url({url!r}))), seed=1, users=9, items=12_000, progress=die)

            asyncio.run(main())
        """
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", dedent(program))
        assert await process.wait() == -signal.SIGKILL
        assert await schema(fresh) == before
        assert await counts(fresh) == [1, 0, 0, 0]
        assert (await fill(fresh)).fingerprint == FINGERPRINT

    async def test_a_failure_leaves_nothing(self, fresh: Database) -> None:
        before = await schema(fresh)

        def stumble(done: int, _total: int) -> None:
            if done > 2000:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await seed(
                fresh, seed=1, users=9, items=5000, append=False, environment="local", progress=stumble
            )
        assert await counts(fresh) == [1, 0, 0, 0]
        assert await schema(fresh) == before
        assert (await fill(fresh)).fingerprint == FINGERPRINT


class TestOverHttp:
    async def test_events_are_listed_and_joined(
        self, world: World, client: httpx.AsyncClient, alice: Person
    ) -> None:
        await fill(world.database, users=60, items=0, events=60, append=True)
        query: dict[str, str | int] = {"from": "2020-01-01T00:00:00Z", "limit": 100}
        listed = (await client.get("/api/v1/events/", params=query)).json()["events"]
        assert len(listed) == 60
        full = next(
            event
            for event in listed
            if event["waiting_count"] and event["status"] == "planned" and event["start_date"] > "2027"
        )
        standing = await alice.api.post(f"/api/v1/events/{full['id']}/participants")
        assert standing.status_code == 201
        assert standing.json()["status"] == "waiting"
        assert standing.json()["position"] == full["waiting_count"] + 1

    async def test_people_log_in_without_a_new_hash(self, world: World, client: httpx.AsyncClient) -> None:
        await fill(world.database)
        hasher = world.resources[PasswordHasher]
        for email, role in (("user1@example.com", "moderator"), ("user20@example.com", "user")):
            form = {"username": email, "password": PASSWORD}
            answer = await client.post("/api/v1/auth/login", data=form)
            assert answer.status_code == 200
            token = answer.json()["access_token"]
            me = await client.get("/api/v1/users/me", headers={"Authorization": f"Bearer {token}"})
            assert me.json()["role"] == role
        async with world.database.read() as db:
            hashes = set(await db.scalars(select(User.hashed_password).where(User.role != Role.ADMIN)))
        assert len(hashes) == 1
        assert not hasher.is_outdated(hashes.pop())

    async def test_everything_can_be_read(
        self, world: World, client: httpx.AsyncClient, admin: Person
    ) -> None:
        await fill(world.database)
        items = (await client.get("/api/v1/items/", params={"limit": 5})).json()
        assert 250 < items["total"] < 300
        newest = items["items"][0]
        assert newest["created_at"].startswith("2025-12-3")
        assert (await client.get(f"/api/v1/items/{newest['id']}")).json()["owner"]["full_name"]
        tags = (await client.get("/api/v1/tags/", params={"limit": 100})).json()
        assert tags["total"] == len(tag_names())
        assert any(tag["item_count"] for tag in tags["tags"])
        tree = (await client.get("/api/v1/categories/", params={"tree": "true"})).json()
        assert any(root["children"] for root in tree["categories"])
        users = (await admin.api.get("/api/v1/users/", params={"limit": 100})).json()
        assert users["total"] == 21
