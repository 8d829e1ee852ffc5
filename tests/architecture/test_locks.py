"""The table of locks and the code agree: every lock that is taken has a place in it, and every place is taken."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.syntax import parsed_file
from tradepost.bootstrap import METADATA
from tradepost.core.database.locks import LOCKS, Strength
from tradepost.core.database.models import Base

SOURCE = Path(__file__).parents[2] / "src" / "tradepost"
TABLES = {mapper.class_.__name__: mapper.class_.__tablename__ for mapper in Base.registry.mappers}
HELPERS = {
    "lock_for_update": Strength.UPDATE,
    "lock_no_key_update": Strength.NO_KEY_UPDATE,
    "lock_key_share": Strength.KEY_SHARE,
    "lock_tables": Strength.SHARE_ROW_EXCLUSIVE,
    "try_hold_advisory": Strength.CONNECTION,
    "try_lock_advisory": Strength.ADVISORY,
    "trying_advisory": Strength.ADVISORY,
}


def taken(tree: ast.Module) -> Iterator[tuple[str, Strength]]:
    """Yield what the calls of the helpers in a module lock, and how strongly."""
    for node in ast.walk(tree):
        # A method of the same name is a repository's, which calls the helper.
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in HELPERS:
            strength = HELPERS[node.func.id]
            for argument in node.args[1:]:
                if isinstance(argument, ast.Constant):
                    yield str(argument.value), strength
                elif isinstance(argument, ast.Name):
                    yield TABLES[argument.id], strength


def test_the_table_lists_exactly_the_locks_that_are_taken() -> None:
    assert METADATA.tables
    found = {lock for path in SOURCE.rglob("*.py") for lock in taken(parsed_file(path))}
    listed = {(lock.on, lock.strength) for lock in LOCKS if not lock.written}
    # It is not in a statement but in how connections to SQLite begin a transaction.
    assert 'execute("BEGIN IMMEDIATE")' in (SOURCE / "core/database/sqlite_connection.py").read_text("utf-8")
    assert found | {("sqlite", Strength.WRITER)} == listed
