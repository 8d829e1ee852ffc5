"""One archive (ZIP) with everything that the embedded default keeps: database, uploaded files, and the key made for it.

Its last member, ``manifest.json``, names every other with its size and SHA-256, so that reading can tell a whole archive from
one that was cut off or changed. It holds secrets: whoever reads it can sign in as anybody.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final

from tradepost.core.database import sqlite_copy
from tradepost.core.durability import sync_directory
from tradepost.core.storage.store import is_key

FORMAT: Final = 1
DATABASE: Final = "tradepost.db"
KEY: Final = "secret_key"
FILES: Final = "uploads/"
MANIFEST: Final = "manifest.json"
LOOKS: Final = 3
"""How often the database is copied anew when a file of it was uploaded and removed between two looks."""
_BLOCK: Final = 2**20
_UNFINISHED: Final = ".part"
_REVISION: Final = "SELECT version_num FROM alembic_version"
_NAMES: Final = """
    SELECT name FROM files WHERE state = 'stored'
    UNION ALL SELECT key FROM file_variants WHERE sha256 IS NOT NULL
"""


class BackupFailed(Exception):
    """Said to the operator in one sentence."""


@dataclass(frozen=True)
class Member:
    """What the manifest says of one member."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What an archive holds, the schema's revision of its database, and the version and moment it was made by and at."""

    version: str
    made_at: str
    revision: str | None
    members: dict[str, Member]
    format: int = FORMAT

    @property
    def files(self) -> int:
        """How many uploaded files, with their variants, are in it."""
        return sum(name.startswith(FILES) for name in self.members)


@dataclass(frozen=True)
class Places:
    """Where the embedded default keeps what a backup holds; ``key`` is None where the key is set from outside."""

    database: Path
    files: Path
    key: Path | None


def write(target: Path, places: Places, *, version: str, made_at: str) -> tuple[Manifest, int]:
    """Write an archive to ``target``, while servers are at work; return what it holds, and how many files had no bytes.

    Files are copied before the database and once more after it: those that came meanwhile are in the second look, those that
    were removed meanwhile in the first. Raises ``BackupFailed``; then there is no ``target``.
    """
    if target.exists():
        raise BackupFailed(f"{target} exists already")
    part = target.with_name(f"{target.name}{_UNFINISHED}")
    try:
        descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as output:
            with zipfile.ZipFile(output, "w", allowZip64=True) as archive:
                result = _fill(archive, places, version, made_at)
            output.flush()
            os.fsync(output.fileno())
        part.rename(target)
        sync_directory(target.parent)
    except FileExistsError as error:
        raise BackupFailed(f"{part} exists: another backup is being written, or was broken off") from error
    except (OSError, sqlite3.Error) as error:
        part.unlink(missing_ok=True)
        raise BackupFailed(f"{target} cannot be written: {error}") from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return result


def _fill(archive: zipfile.ZipFile, places: Places, version: str, made_at: str) -> tuple[Manifest, int]:
    members: dict[str, Member] = {}
    missing = 0
    with tempfile.TemporaryDirectory(prefix="tradepost-backup-", dir=places.database.parent) as directory:
        copy = Path(directory) / DATABASE
        for _ in range(LOOKS):
            _add_files(archive, places.files, members)
            wanted = {f"{FILES}{name}" for name in _copy_database(places.database, copy)}
            _add_files(archive, places.files, members)
            missing = len(wanted - members.keys())
            if not missing:
                break
        members[DATABASE] = _add(archive, DATABASE, copy, compressed=True)
        revision = sqlite_copy.texts(copy, _REVISION)[0]
    if places.key is not None and places.key.exists():
        members[KEY] = _add(archive, KEY, places.key)
    manifest = Manifest(version, made_at, revision, members)
    archive.writestr(MANIFEST, json.dumps(asdict(manifest), indent=1))
    return manifest, missing


def _copy_database(database: Path, target: Path) -> set[str]:
    """Copy the database as it is at one moment, writers going on; return the names of the bytes that it speaks of."""
    if not database.exists():
        raise BackupFailed(f"there is no database at {database}")
    sqlite_copy.copy(database, target)
    return set(sqlite_copy.texts(target, _NAMES))


def _add_files(archive: zipfile.ZipFile, directory: Path, members: dict[str, Member]) -> None:
    """Add the files that are not in yet. A file never changes once it has its name; one may go while this looks."""
    for path in sorted(directory.rglob("*")) if directory.exists() else ():
        name = f"{FILES}{path.name}"
        if name in members or not is_key(path.name) or not path.is_file():
            continue
        try:
            members[name] = _add(archive, name, path)
        except FileNotFoundError:
            continue


def _add(archive: zipfile.ZipFile, name: str, path: Path, *, compressed: bool = False) -> Member:
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with path.open("rb") as source:
        info.file_size = os.fstat(source.fileno()).st_size
        with archive.open(info, "w") as target:
            return _copied(source, target)


def _copied(source: IO[bytes], target: IO[bytes] | None) -> Member:
    size, digest = 0, hashlib.sha256()
    while block := source.read(_BLOCK):
        size += len(block)
        digest.update(block)
        if target is not None:
            target.write(block)
    return Member(size, digest.hexdigest())


@contextmanager
def reading(source: Path) -> Iterator[tuple[zipfile.ZipFile, Manifest]]:
    """Open an archive with its manifest; what is no archive of ours is a ``BackupFailed``."""
    try:
        with zipfile.ZipFile(source) as archive:
            told = json.loads(archive.read(MANIFEST))
            if told["format"] != FORMAT:
                raise BackupFailed(f"{source} has format {told['format']}, which this version does not read")
            members = {name: Member(**member) for name, member in told["members"].items()}
            manifest = Manifest(told["version"], told["made_at"], told["revision"], members)
            _check_names(source, archive, manifest)
            yield archive, manifest
    except (OSError, zipfile.BadZipFile, EOFError) as error:
        raise BackupFailed(f"{source} cannot be read: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BackupFailed(f"{source} is no backup of Tradepost, or was cut off") from error


def _check_names(source: Path, archive: zipfile.ZipFile, manifest: Manifest) -> None:
    names = archive.namelist()
    if sorted(names) != sorted([*manifest.members, MANIFEST]) or DATABASE not in manifest.members:
        raise BackupFailed(f"{source} does not hold what its manifest names")
    for name in manifest.members.keys() - {DATABASE, KEY}:
        if not is_key(name.removeprefix(FILES)) or not name.startswith(FILES):
            raise BackupFailed(f"{source} names a file that is none of Tradepost's: {name}")


def extract(archive: zipfile.ZipFile, manifest: Manifest, name: str, target: Path | None) -> None:
    """Copy one member to ``target``, or only read it; raises ``BackupFailed`` unless it is what the manifest says."""
    with archive.open(name) as member:
        if target is None:
            found = _copied(member, None)
        else:
            with target.open("xb") as output:
                found = _copied(member, output)
                output.flush()
                os.fsync(output.fileno())
    if found != manifest.members[name]:
        raise BackupFailed(f"{name} is not what was written: the archive is damaged")


def remove(path: Path) -> None:
    """Remove a file or a directory with all in it, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
