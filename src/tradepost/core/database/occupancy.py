"""Who is at work on an embedded database: every process of ours that has it open, or the one that replaces it.

A lock of the operating system, which ends with the process however that went. Replacing the file below a process that has it
open would lose what that one writes. It is on an empty file beside the database: closing the database's own would end SQLite's
locks of this process, and the directory's is the migrators'.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tradepost.core.durability import make_directory
from tradepost.core.errors import DatabaseUnavailable


class DatabaseInUse(DatabaseUnavailable):
    """Another process is at work on the database."""

    detail = "The database is in use by another process"


@contextmanager
def shared(database: Path) -> Iterator[None]:
    """Keep others from replacing the database while the block runs; any number may. Raises ``DatabaseInUse``.

    Where no file can be made, nobody can replace one either.
    """
    with ExitStack() as held:
        with suppress(OSError):
            held.enter_context(_locked(database, fcntl.LOCK_SH))
        yield


@contextmanager
def alone(database: Path) -> Iterator[None]:
    """Keep every other process from the database while the block runs. Raises ``DatabaseInUse``."""
    with _locked(database, fcntl.LOCK_EX):
        yield


@contextmanager
def _locked(database: Path, kind: int) -> Iterator[None]:
    make_directory(database.parent)
    # Left where it is: another process may be about to lock it.
    descriptor = os.open(database.with_name(f"{database.name}.lock"), os.O_RDONLY | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DatabaseInUse from error
        yield
    finally:
        os.close(descriptor)
