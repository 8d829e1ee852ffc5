"""Putting a backup in the place of what is there: read and checked as a whole first, then moved in by renaming."""

import tempfile
from pathlib import Path
from typing import Final

from tradepost.backups import archive
from tradepost.backups.archive import DATABASE, FILES, KEY, BackupFailed, Manifest, Places
from tradepost.core.database import occupancy, sqlite_copy
from tradepost.core.durability import make_directory, sync_directory

_BESIDE: Final = ("-wal", "-shm", "-journal")


def check(source: Path) -> Manifest:
    """Read the whole of an archive, and its database's own check; raises ``BackupFailed`` at the first fault."""
    with archive.reading(source) as (opened, manifest), tempfile.TemporaryDirectory() as directory:
        for name in manifest.members:
            archive.extract(opened, manifest, name, Path(directory) / DATABASE if name == DATABASE else None)
        _check_database(Path(directory) / DATABASE)
    return manifest


def restore(source: Path, places: Places, *, replace: bool) -> Manifest:
    """Put an archive's contents where these settings keep them.

    Nothing is touched before all of it was read and found whole. The database comes last: until then a run that is broken
    off can be repeated. Raises ``BackupFailed``, also if there is a database and not ``replace``, and ``DatabaseInUse``.
    """
    with occupancy.alone(places.database):
        if places.database.exists() and not replace:
            raise BackupFailed(
                f"there is a database at {places.database} already: --replace puts the backup in its place"
            )
        make_directory(places.files.parent)
        with (
            archive.reading(source) as (opened, manifest),
            tempfile.TemporaryDirectory(
                prefix="tradepost-restore-", dir=places.database.parent
            ) as near_database,
            tempfile.TemporaryDirectory(prefix="tradepost-restore-", dir=places.files.parent) as near_files,
        ):
            database, key, files = (
                Path(near_database) / DATABASE,
                Path(near_database) / KEY,
                Path(near_files) / "uploads",
            )
            files.mkdir()
            for name in manifest.members:
                match name:
                    case "tradepost.db":
                        archive.extract(opened, manifest, name, database)
                    case "secret_key":
                        archive.extract(opened, manifest, name, key)
                    case _:
                        target = _place_of(files, name.removeprefix(FILES))
                        target.parent.mkdir(exist_ok=True)
                        archive.extract(opened, manifest, name, target)
            _check_database(database)
            _move_in(places, database, key, files)
    return manifest


def _check_database(database: Path) -> None:
    if not sqlite_copy.is_sound(database):
        raise BackupFailed("the database in it is damaged")


def _place_of(files: Path, name: str) -> Path:
    """Where the local storage looks for a file: below the first two letters of its name."""
    return files / name[:2] / name


def _move_in(places: Places, database: Path, key: Path, files: Path) -> None:
    if key.exists() and places.key is not None:
        key.chmod(0o600)
        key.replace(places.key)
    archive.remove(places.files)
    files.rename(places.files)
    sync_directory(places.files.parent)
    # A log of the old database would be played into the new one.
    for ending in _BESIDE:
        archive.remove(places.database.with_name(places.database.name + ending))
    database.replace(places.database)
    sync_directory(places.database.parent)
