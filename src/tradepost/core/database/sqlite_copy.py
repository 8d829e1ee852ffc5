"""Copies of an embedded database: made beside its writers, and looked at by themselves. Blocking: for commands and threads."""

import sqlite3
from contextlib import closing
from pathlib import Path


def copy(database: Path, target: Path) -> None:
    """Copy the database as it is at one moment to a new file; writers go on. Raises ``sqlite3.Error``."""
    target.unlink(missing_ok=True)
    uri = f"{database.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as source, closing(sqlite3.connect(target)) as made:
        source.backup(made)
        # Else reading it would make files beside it.
        made.execute("PRAGMA journal_mode = DELETE")


def texts(database: Path, statement: str) -> list[str]:
    """Return the first column of what a statement finds."""
    with closing(sqlite3.connect(database)) as connection:
        return [str(row[0]) for row in connection.execute(statement)]


def is_sound(database: Path) -> bool:
    """Tell whether SQLite finds nothing wrong in a database, nor a reference to what is not there."""
    with closing(sqlite3.connect(database)) as connection:
        try:
            whole = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            return whole and not connection.execute("PRAGMA foreign_key_check").fetchall()
        except sqlite3.DatabaseError:
            return False
