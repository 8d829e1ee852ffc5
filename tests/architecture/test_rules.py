"""The laws of the house that no linter knows, each shown to fail on a planted violation."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.syntax import parsed, parsed_file

SOURCE = Path(__file__).parents[2] / "src" / "tradepost"

Rule = Callable[[ast.Module, str], Iterator[int]]
"""Yields the line of each violation in a module, whose path is relative to the package."""


def _calls(tree: ast.Module) -> Iterator[tuple[ast.Call, str, str]]:
    """Yield each call with the name before the last dot and the name after it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Attribute):
                owner = function.value
                before = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
                yield node, before, function.attr
            elif isinstance(function, ast.Name):
                yield node, "", function.id


def one_commit(tree: ast.Module, path: str) -> Iterator[int]:
    """A transaction is committed in one place; services and repositories are handed one."""
    # A migration is many transactions, and the only thing that happens on its connection; a driver's is what commits.
    driver = "core/database/sqlite_connection.py"
    if path not in {"core/database/engines.py", "core/database/online.py", driver}:
        yield from (call.lineno for call, _, name in _calls(tree) if name == "commit")


REPOSITORY = "repository"
"""The name of a domain's module with its statements, or of the package that such a module was cut into."""

STATEMENTS = {"execute", "scalar", "scalars", "stream", "stream_scalars", "exec_driver_sql", "executemany"}


def statements_in_repositories(tree: ast.Module, path: str) -> Iterator[int]:
    """Every statement of a domain is in its repository, be that a module or a package."""
    if REPOSITORY in Path(path).with_suffix("").parts or path.startswith(("core/", "seeding/")):
        return
    for call, before, name in _calls(tree):
        # A request has a stream too.
        if name in STATEMENTS and (name != "stream" or before in {"session", "connection"}):
            yield call.lineno


CLOCKS = {
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
    ("time", "time"),
    ("time", "time_ns"),
    ("time", "monotonic"),
    ("time", "perf_counter"),
    ("uuid", "uuid4"),
    ("uuid", "uuid1"),
    ("secrets", "token_urlsafe"),
    ("secrets", "token_hex"),
    ("secrets", "token_bytes"),
    ("os", "urandom"),
}


def time_and_chance_from_the_clock(tree: ast.Module, path: str) -> Iterator[int]:
    """What a test could not foresee comes from the clock, which a test can replace."""
    if path == "core/clock.py":
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(
            (node.module, name.name) in CLOCKS for name in node.names
        ):
            yield node.lineno
    for call, before, name in _calls(tree):
        if (before, name) in CLOCKS:
            yield call.lineno
        if before == "random" and name != "Random":
            yield call.lineno


def no_import_within_a_function(tree: ast.Module, path: str) -> Iterator[int]:
    """A module says at its top what it stands on; a circle is not to be hidden in a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = (child for child in ast.walk(node) if isinstance(child, ast.Import | ast.ImportFrom))
            yield from (child.lineno for child in inner)


def tasks_are_kept(tree: ast.Module, path: str) -> Iterator[int]:
    """Nothing that matters runs in a task that nobody keeps and waits for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            started = next(_calls(ast.Module([node], [])), (None, "", ""))
            if started[2] in {"create_task", "ensure_future"} and started[1] != "group":
                yield node.lineno
    yield from (call.lineno for call, _, name in _calls(tree) if name in {"BackgroundTasks", "add_task"})


def no_base_http_middleware(tree: ast.Module, path: str) -> Iterator[int]:
    """Each costs 300 microseconds a request, and breaks context variables and streaming."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(name.name == "BaseHTTPMiddleware" for name in node.names):
            yield node.lineno


def repositories_are_private(tree: ast.Module, path: str) -> Iterator[int]:
    """A repository is its domain's own: other domains ask its service, or its rules could be gone around."""
    domain = path.split("/", maxsplit=1)[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            modules = [f"{node.module}.{name.name}" for name in node.names]
        elif isinstance(node, ast.Import):
            modules = [name.name for name in node.names]
        else:
            continue
        for parts in (module.split(".") for module in modules):
            if parts[0] == "tradepost" and REPOSITORY in parts and parts[1] not in {domain, "core"}:
                yield node.lineno


def no_lazy_relationships(tree: ast.Module, path: str) -> Iterator[int]:
    """A relationship that loads by itself is a query nobody sees."""
    for call, _, name in _calls(tree):
        if name == "relationship":
            lazy = {word.arg: getattr(word.value, "value", None) for word in call.keywords}.get("lazy")
            if lazy != "raise":
                yield call.lineno


LOCKING = ("for update", "for no key update", "for share", "for key share", "lock table", "advisory_")


def locks_from_one_module(tree: ast.Module, path: str) -> Iterator[int]:
    """A lock has a place in the order of all, which the helpers of ``core/database/locks.py`` look up."""
    if path == "core/database/locks.py":
        return
    documentation = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            documentation.add(node.value)
        if isinstance(node, ast.Attribute | ast.keyword):
            name = node.attr if isinstance(node, ast.Attribute) else node.arg
            if name == "with_for_update" or "advisory_" in str(name).replace("lock_advisory", ""):
                yield node.lineno
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node not in documentation:
            text = str(node.value).lower()
            if any(words in text for words in LOCKING):
                yield node.lineno


def engines_spell_themselves(tree: ast.Module, path: str) -> Iterator[int]:
    """A statement is the same for both engines; an element with ``@compiles`` knows how each of them spells it."""
    # Seeding writes past SQLAlchemy, with what each driver does fastest.
    if path.startswith(("core/", "seeding/")):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in {"dialect", "get_bind"}:
            yield node.lineno


RULES: dict[Rule, tuple[str, str]] = {
    one_commit: ("items/service.py", "async def f(session):\n    await session.commit()"),
    statements_in_repositories: ("items/service.py", "async def f(self):\n    await self.db.execute(1)"),
    time_and_chance_from_the_clock: ("items/service.py", "now = datetime.now(UTC)"),
    no_import_within_a_function: ("items/service.py", "def f():\n    import json"),
    tasks_are_kept: ("items/service.py", "asyncio.create_task(f())"),
    no_base_http_middleware: ("web/x.py", "from starlette.middleware.base import BaseHTTPMiddleware"),
    repositories_are_private: ("items/service.py", "from tradepost.tags import repository"),
    locks_from_one_module: ("tags/repository.py", "rows = select(Tag).with_for_update()"),
    engines_spell_themselves: ("tags/repository.py", "name = self.db.get_bind().dialect.name"),
    no_lazy_relationships: ("items/models.py", "owner = relationship('User')"),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_the_rule(rule: Rule) -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{line}"
        for path in sorted(SOURCE.rglob("*.py"))
        for line in rule(parsed_file(path), str(path.relative_to(SOURCE)))
    ]
    assert not found, rule.__doc__


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_can_be_broken(rule: Rule) -> None:
    path, violation = RULES[rule]
    assert list(rule(parsed(violation), path))


@pytest.mark.parametrize(
    "violation",
    [
        "from time import monotonic\nx = monotonic()",
        "x = uuid.uuid4()",
        "x = random.random()",
        "x = time.time()",
    ],
)
def test_every_way_to_the_time_is_seen(violation: str) -> None:
    assert list(time_and_chance_from_the_clock(parsed(violation), "items/service.py"))


@pytest.mark.parametrize("path", ["items/repository.py", "items/repository/views.py"])
def test_a_repository_is_a_module_or_a_package(path: str) -> None:
    module = path.removesuffix(".py").replace("/", ".")
    imported = parsed(f"from tradepost.{module} import ItemRepository")
    assert list(repositories_are_private(imported, "webhooks/service.py"))
    assert not list(repositories_are_private(imported, "items/service.py"))
    assert not list(statements_in_repositories(parsed("self.db.execute(1)"), path))


@pytest.mark.parametrize(
    "violation",
    [
        "tag = db.get(Tag, 1, with_for_update=True)",
        "db.scalar(select(func.pg_try_advisory_xact_lock(1)))",
        "db.execute(text('SELECT pg_advisory_lock(1)'))",
        "db.execute(text('LOCK TABLE tags'))",
        "db.execute(text('SELECT id FROM tags FOR NO KEY UPDATE'))",
    ],
)
def test_every_way_to_a_lock_is_seen(violation: str) -> None:
    assert list(locks_from_one_module(parsed(violation), "tags/repository.py"))


def test_files_are_small() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCE.rglob("*.py")}
    assert len(lines) > 100
    assert {path.name: number for path, number in lines.items() if number > 400} == {}
