"""Writes the next migration: ``make revision M="what it does"``.

What the models say is compared with what the migrations so far make of an empty SQLite file, so no database has to be
there. ``ARGS=--empty`` writes one without commands, for rows that have to change rather than tables.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

import alembic.command
from alembic.script import Script
from sqlalchemy import Connection, make_url

from tradepost.core.database import migrations, revisions
from tradepost.core.database.autogenerate import CannotWriteMigrationError
from tradepost.core.database.engines import Database
from tradepost.core.database.options import DatabaseOptions

NOTHING = "The models say what the migrations make already. A new table has to be in MODELS of src/tradepost/bootstrap.py."
LOOK = """\
Read it through; a column or table that goes is made anew by downgrade() from what SQLite knows of its types.
An index of a table with many rows, and values for them, go into revisions of their own, with the helpers of
tradepost.core.database.online: writers go on beside those (CONTRIBUTING.md, "A migration")."""


async def written(message: str, *, empty: bool) -> Path | None:
    """Write the migration and return its file, None if there is nothing to write."""
    found: list[Path] = []

    def write(connection: Connection) -> None:
        scripts = alembic.command.revision(
            migrations.configuration(connection),
            message,
            autogenerate=not empty,
            rev_id=f"{int(revisions.head() or 0) + 1:04}",
        )
        if isinstance(scripts, Script):
            found.append(Path(scripts.path))

    with tempfile.TemporaryDirectory() as directory:
        database = Database(DatabaseOptions(make_url(f"sqlite+aiosqlite:///{directory}/empty.db")))
        try:
            await migrations.upgrade(database)
            async with database.engine.connect() as connection:
                await connection.run_sync(write)
        finally:
            await database.close()
    return found[0] if found else None


def main() -> None:
    """Write the migration and have it formatted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("message", nargs="?", default="", help="what the migration does, in a few words")
    parser.add_argument("--empty", action="store_true", help="write one without commands")
    arguments = parser.parse_args()
    if not arguments.message.strip() or {'"', "\\", "\n"} & set(arguments.message):
        sys.exit('Say in a few words, without quotes, what it does: make revision M="give items a colour"')
    message = arguments.message.strip()
    try:
        path = asyncio.run(written(message[0].upper() + message[1:], empty=arguments.empty))
    except CannotWriteMigrationError as error:
        sys.exit(f"No migration was written: {error}")
    if path is None:
        sys.exit(NOTHING)
    ruff = Path(sys.executable).with_name("ruff")
    for command in (["check", "--fix", "--quiet"], ["format", "--quiet"]):
        subprocess.run([ruff, *command, path], check=True)  # noqa: S603 - our own, on our own file
    sys.stdout.write(
        f"Wrote {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}\n{LOOK}\n"
    )


if __name__ == "__main__":
    main()
