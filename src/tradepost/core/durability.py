"""Files and directories that are on the disk when a call returns, and not only in the memory of the system.

POSIX promises a file's bytes after ``fsync`` of the file, and its name after ``fsync`` of the directory that holds it; the
same goes for a directory's own name and for the removal of one. What is skipped here comes to light at a power cut.
"""

import os
from pathlib import Path


def sync_directory(directory: Path) -> None:
    """Wait until the names in ``directory`` are on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(directory: Path, *, mode: int = 0o777) -> None:
    """Make ``directory`` and what is missing above it, and wait until their names are on the disk."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(parents=True, exist_ok=True, mode=mode)
    # Its own name always: another process may have made it a moment ago.
    for path in missing or [directory]:
        sync_directory(path.parent)
