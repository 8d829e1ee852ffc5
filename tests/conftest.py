"""What the tests stand on: real servers, databases cloned from migrated templates, and people who are logged in.

Every test that asks for ``client``, ``database`` or a person runs twice, on SQLite and on PostgreSQL. A module has their
databases for itself, and they are emptied after each test; everything in them was committed for real.
"""

import asyncio
import gc
import itertools
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from hypothesis import settings as hypothesis_settings
from sqlalchemy import event, exists, literal, make_url, select, text, union_all
from starlette.types import Receive, Scope, Send

from tests import scheduling
from tests.clock import MovableClock
from tests.lock_order import LockWatch
from tests.servers import PostgresServer, S3Server
from tradepost.accounts.models import LoginSession, User
from tradepost.accounts.passwords import PasswordHasher
from tradepost.accounts.permissions import Role
from tradepost.accounts.repository.credentials import CredentialRepository
from tradepost.accounts.repository.sessions import SessionRepository
from tradepost.accounts.repository.users import UserRepository
from tradepost.accounts.tokens import Tokens
from tradepost.bootstrap import METADATA, opened, prepare_database
from tradepost.core.audit.trail import AuditTrail
from tradepost.core.database.engines import Database
from tradepost.core.database.locks import has_one_writer
from tradepost.core.database.sessions import WriteSession
from tradepost.core.resources import Resources
from tradepost.core.search.vocabulary import Vocabulary
from tradepost.core.settings.settings import Settings
from tradepost.items.popular import PopularItems
from tradepost.main import create_app

# How long an example takes is the machine's doing.
hypothesis_settings.register_profile("tradepost", deadline=None)
hypothesis_settings.load_profile("tradepost")

PASSWORD = "Tradepost1"
ENGINES = ("sqlite", "postgresql")

_numbers = itertools.count()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Say how many workers ``--numprocesses auto`` means."""
    return scheduling.workers()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Deal tests out to the workers by module and engine."""
    return scheduling.scheduler(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object | None) -> None:
    """End the run with a worker that dies."""
    scheduling.end_when_lost(node, error)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort the tests for the workers, which all do so alike."""
    if hasattr(config, "workerinput"):
        items[:] = [items[at] for at in scheduling.in_order([item.nodeid for item in items])]


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Keep the garbage collector from what was imported and collected: it stays until the end, and there is much of it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server of the test run's own."""
    with PostgresServer.running() as server:
        yield server


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """A server like S3, of the test run's own."""
    with S3Server.running() as server:
        yield server


@pytest.fixture(scope="session", autouse=True)
def _own_surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the machine's own settings out of the tests: no variable and no ``.env`` of the developer's."""
    with pytest.MonkeyPatch.context() as patch:
        for name in Settings.model_fields:
            patch.delenv(name, raising=False)
            patch.delenv(f"{name}_FILE", raising=False)
        patch.chdir(tmp_path_factory.mktemp("cwd"))
        yield


@pytest.fixture(scope="session")
def lock_watch() -> Iterator[LockWatch]:
    """The watch over the order in which transactions take locks."""
    watch = LockWatch()
    watch.start()
    yield watch
    watch.stop()


@pytest.fixture(autouse=True)
def _locks_in_order(lock_watch: LockWatch) -> Iterator[None]:
    """Fail a test in which a transaction took a lock too late, though the error went no further than a log."""
    lock_watch.violations.clear()
    yield
    assert not lock_watch.violations


def settings_for(url: str, directory: Path, **values: Any) -> Settings:
    """Return the settings of a test's application; rate limits are off unless a test is about them."""
    given = {
        "DATABASE_URL": url,
        "DATA_DIR": directory,
        "SECRET_KEY": "a key of at least thirty-two bytes for tests",
        "RATE_LIMIT_ENABLED": False,
        "LOG_LEVEL": "ERROR",
        # A machine that is busy makes a request of seconds take its time.
        "DB_POOL_TIMEOUT": 20.0,
        "REQUEST_TIMEOUT": 60.0,
    }
    return Settings.load(**(given | values))


@dataclass
class Template:
    """A migrated database with the first superuser in it, to be copied."""

    engine: str
    directory: Path
    postgres: PostgresServer
    name: str = "template"

    async def copy(self) -> str:
        """Make a database like it and return its URL."""
        name = f"copy{next(_numbers)}"
        if self.engine == "sqlite":
            path = self.directory / f"{name}.db"
            await asyncio.to_thread(shutil.copyfile, self.directory / f"{self.name}.db", path)
            return f"sqlite:///{path}"
        return await self.postgres.create_database(name, template=self.name)

    async def empty(self) -> str:
        """Make a database without a table and return its URL."""
        name = f"empty{next(_numbers)}"
        if self.engine == "sqlite":
            return f"sqlite:///{self.directory / name}.db"
        return await self.postgres.create_database(name)


TEMPLATES: dict[str, Template] = {}
"""The templates made so far: one for each engine, however often tests change from one engine to the other."""


@pytest_asyncio.fixture(scope="session", params=ENGINES)
async def template(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    postgres: PostgresServer,
) -> Template:
    """The template of each engine, migrated once."""
    engine: str = request.param
    if engine not in TEMPLATES:
        found = Template(engine, tmp_path_factory.mktemp(engine), postgres)
        if engine == "sqlite":
            url = f"sqlite:///{found.directory / found.name}.db"
        else:
            url = await postgres.create_database(found.name)
        async with opened(settings_for(url, found.directory)) as resources:
            await prepare_database(resources)
        TEMPLATES[engine] = found
    return TEMPLATES[engine]


@pytest_asyncio.fixture(scope="module")
async def database_url(template: Template) -> str:
    """A migrated database of the module's own."""
    return await template.copy()


@dataclass(repr=False)
class World:
    """An application that runs, and what it runs on.

    No ``repr`` of everything in it: for each fixture and test asyncio has one made of the task, and of its result. All of it reads the time from ``clock``. That is not set back after a test: a process lives through no time that runs
    backwards.
    """

    app: FastAPI
    resources: Resources
    clock: MovableClock
    transport: httpx.ASGITransport
    engine: str
    url: str

    @property
    def database(self) -> Database:
        """The application's database."""
        return self.resources.database

    def caller(self, **headers: str) -> httpx.AsyncClient:
        """Return a client with these headers."""
        return httpx.AsyncClient(transport=self.transport, base_url="http://testserver", headers=headers)


@asynccontextmanager
async def world_on(url: str, directory: Path, **values: Any) -> AsyncIterator[World]:
    """Run an application on a database, with these settings."""
    clock = MovableClock()
    # Messages wait until a test has them delivered: `await world.resources[Dispatcher].drain()`.
    app = create_app(settings_for(url, directory, **values), clock=clock, dispatches=False)
    async with app.router.lifespan_context(app) as state:
        assert state is not None

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            scope["state"] = dict(state)
            await app(scope, receive, send)

        resources: Resources = state["resources"]
        engine = make_url(url).get_backend_name()
        yield World(app, resources, clock, httpx.ASGITransport(with_state), engine, url)


async def first_superuser(world: World) -> Any:
    """Return the row that ``empty_tables`` keeps, but for what tells how often and when it was put back."""
    users = User.__table__.c
    columns = [column for column in users if column.name not in {"version", "updated_at"}]
    async with world.database.read() as db:
        return (await db.execute(select(*columns).where(users.email == "admin@example.com"))).one_or_none()


MODULES_OF_A_WORLD = 12
"""After so many modules a world has lived long enough: deleted rows slow a database down, and faults add up."""


class Worlds:
    """The application of each engine that one module has after the other: to make one takes as long as a dozen tests."""

    def __init__(self, directories: pytest.TempPathFactory) -> None:
        self._directories = directories
        self._open: dict[str, tuple[World, AsyncExitStack]] = {}
        self._admins: dict[str, Any] = {}
        self._modules: Counter[str] = Counter()

    async def take(self, template: Template) -> World:
        """Return the engine's world, as a new one would be but for its sequences."""
        if template.engine not in self._open:
            closing = AsyncExitStack()
            directory = self._directories.mktemp("data")
            world = await closing.enter_async_context(world_on(await template.copy(), directory))
            self._open[template.engine] = world, closing
            self._admins[template.engine] = await first_superuser(world)
            self._modules[template.engine] = 0
        self._modules[template.engine] += 1
        return self._open[template.engine][0]

    async def give_back(self, engine: str, *, is_fit: bool) -> None:
        """Keep the world for the next module, unless it is not fit for that, or its first superuser is another."""
        world, _ = self._open[engine]
        is_fit = is_fit and await first_superuser(world) == self._admins[engine]
        if not is_fit or self._modules[engine] == MODULES_OF_A_WORLD:
            await self.close(engine)

    async def close(self, engine: str) -> None:
        """Close an engine's world."""
        _, closing = self._open.pop(engine)
        await closing.aclose()


@pytest_asyncio.fixture(scope="session")
async def worlds(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> AsyncIterator[Worlds]:
    """The applications that modules share."""
    shared = Worlds(tmp_path_factory)
    yield shared
    for engine in ENGINES:
        with suppress(KeyError):
            await shared.close(engine)


@pytest_asyncio.fixture(scope="module")
async def module_world(
    request: pytest.FixtureRequest, template: Template, worlds: Worlds
) -> AsyncIterator[World]:
    """The module's application: another module may have had it before, and left nothing behind.

    Where a test failed, or moved the clock, no other module has it afterwards. A module that cannot do with it has a
    ``module_world`` of its own, on ``database_url``.
    """
    failures = request.session.testsfailed
    world = await worlds.take(template)
    yield world
    is_fit = world.clock.is_at_start and request.session.testsfailed == failures
    await worlds.give_back(template.engine, is_fit=is_fit)


COUNTS = ("item_counts", "item_count_changes")
"""The tables that triggers keep."""


TABLES_WITH_ROWS = union_all(
    *(select(literal(name)).where(exists().select_from(table)) for name, table in METADATA.tables.items())
)


async def empty_audit_trail(db: WriteSession) -> None:
    """Delete every line of the audit trail, which the database refuses: its triggers are out of force meanwhile.

    Tests own their databases. On PostgreSQL only a superuser may do so, on SQLite whoever has the file.
    """
    if has_one_writer(db):
        triggers = "FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_lines'"
        found = (await db.execute(text(f"SELECT name, sql {triggers}"))).all()
        for name, _ in found:
            await db.execute(text(f"DROP TRIGGER {name}"))
        await db.execute(text("DELETE FROM audit_lines"))
        for _, statement in found:
            await (await db.connection()).exec_driver_sql(statement)
    else:
        await db.execute(text("SET LOCAL session_replication_role = replica"))
        await db.execute(text("DELETE FROM audit_lines"))
        await db.execute(text("SET LOCAL session_replication_role = origin"))


async def empty_tables(database: Database, *, keep: str = "admin@example.com") -> None:
    """Delete every row but the first superuser's, and put that one back as it was.

    After each test, of which most fill few tables: those are found by one statement first.
    """
    async with database.transaction() as db:
        full = set(await db.scalars(TABLES_WITH_ROWS)).difference(COUNTS)
        for table in reversed(METADATA.sorted_tables):
            if table.name == "users":
                await db.execute(table.delete().where(table.c.email != keep))
                await db.execute(
                    table.update().values(role=Role.ADMIN, is_active=True, phone=None, website=None)
                )
            elif table.name == "audit_lines":
                if table.name in full:
                    await empty_audit_trail(db)
            elif table.name in full:
                if table.name == "categories":
                    await db.execute(text("UPDATE categories SET parent_id = NULL"))
                await db.execute(table.delete())
        # Last: triggers count what goes from the other tables.
        for name in COUNTS:
            await db.execute(METADATA.tables[name].delete())


def empty_storage(settings: Settings) -> None:
    """Delete every file; not the directories: without its own the storage is away, and those in it are not made again."""
    if settings.USE_S3:
        S3Server(str(settings.AWS_ENDPOINT_URL).rstrip("/")).empty(str(settings.AWS_S3_BUCKET_NAME))
        return
    for path in settings.UPLOAD_DIR.glob("*/*"):
        path.unlink(missing_ok=True)


def forget_all(resources: Resources) -> None:
    """Have everything read anew that an application remembers: rows were changed past its services."""
    resources[PopularItems].forget_all()
    resources[Vocabulary].forget()
    resources[AuditTrail].forget_refusals()


@pytest_asyncio.fixture
async def world(module_world: World) -> AsyncIterator[World]:
    """The module's application on empty tables."""
    yield module_world
    await empty_tables(module_world.database)
    await asyncio.to_thread(empty_storage, module_world.resources.settings)
    forget_all(module_world.resources)


@pytest.fixture
def database(world: World) -> Database:
    """The application's database."""
    return world.database


@pytest_asyncio.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A stranger."""
    async with world.caller() as stranger:
        yield stranger


@dataclass
class Person:
    """Somebody with an account, logged in; ``api`` is a client that shows their access token."""

    id: int
    email: str
    token: str
    refresh_token: str
    api: httpx.AsyncClient
    password: str = PASSWORD

    @property
    def headers(self) -> dict[str, str]:
        """What to send to be this person."""
        return {"Authorization": f"Bearer {self.token}"}


NewPerson = Callable[..., Coroutine[Any, Any, Person]]

_hashes: dict[str, str] = {}


@pytest_asyncio.fixture
async def new_person(world: World) -> AsyncIterator[NewPerson]:
    """Make people with a role, logged in, without hashing a password for each."""
    clients: list[httpx.AsyncClient] = []
    hasher, tokens, clock = world.resources[PasswordHasher], world.resources[Tokens], world.clock
    if not _hashes:
        _hashes[PASSWORD] = await hasher.hash(PASSWORD)

    async def make(first_name: str, role: Role = Role.USER, email: str | None = None) -> Person:
        now = clock.now()
        async with world.database.transaction() as db:
            users = UserRepository(db)
            user = await CredentialRepository(db).find_by_email(email) if email else None
            if user is None:
                user = await users.add(
                    User(
                        email=email or f"{first_name.lower()}{next(_numbers)}@example.com",
                        hashed_password=_hashes[PASSWORD],
                        first_name=first_name,
                        last_name="Tester",
                        role=role,
                        is_active=True,
                        created_at=now,
                        updated_at=now,
                    )
                )
            login = await SessionRepository(db).add(
                LoginSession(
                    user_id=user.id,
                    counter=0,
                    created_at=now,
                    rotated_at=now,
                    expires_at=now + timedelta(days=30),
                )
            )
        token, _ = tokens.access(user_id=user.id, session_id=login.id, session_end=login.expires_at)
        api = world.caller(Authorization=f"Bearer {token}")
        clients.append(api)
        return Person(user.id, user.email, token, tokens.refresh(session_id=login.id, counter=0), api)

    yield make
    for api in clients:
        await api.aclose()


@pytest_asyncio.fixture
async def admin(new_person: NewPerson) -> Person:
    """The first superuser."""
    return await new_person("Admin", Role.ADMIN, email="admin@example.com")


@pytest_asyncio.fixture
async def moderator(new_person: NewPerson) -> Person:
    """A moderator."""
    return await new_person("Mona", Role.MODERATOR)


@pytest_asyncio.fixture
async def alice(new_person: NewPerson) -> Person:
    """An ordinary person."""
    return await new_person("Alice")


@pytest_asyncio.fixture
async def bob(new_person: NewPerson) -> Person:
    """Another ordinary person."""
    return await new_person("Bob")


LOOKS_BY_ITSELF = ("backlog", "dispatcher", "views", "key uses")
"""The tasks that look for messages, or write what was noted, now and then, whatever is asked meanwhile."""


@pytest.fixture
def statements(world: World) -> Callable[[], Any]:
    """Collect the SQL that is sent to the database within a ``with`` block."""

    @contextmanager
    def collected() -> Iterator[list[str]]:
        sent: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            task = asyncio.current_task()
            if task is None or task.get_name() not in LOOKS_BY_ITSELF:
                sent.append(statement)

        # On PostgreSQL the engine for reading is a view of the other, and shares its events.
        engines = {world.database.engine.sync_engine}
        if world.database.is_sqlite:
            engines.add(world.database.read_engine.sync_engine)
        for engine in engines:
            event.listen(engine, "before_cursor_execute", note)
        try:
            yield sent
        finally:
            for engine in engines:
                event.remove(engine, "before_cursor_execute", note)

    return collected
