"""The files in which several workers of one server keep their metrics, and which of these workers still live."""

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

MULTIPROCESS_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"

_LIVE_FILE: Final = re.compile(r"gauge_live\w*_(\d+)\.db")


def prepare_directory(directory: Path) -> None:
    """Make the directory of ``PROMETHEUS_MULTIPROC_DIR``, without what an earlier run left in it.

    To be called once before the first worker starts, by the process that starts them.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in directory.glob("*.db"):
        path.unlink(missing_ok=True)


def forget_dead_workers(directory: str) -> None:
    """Delete the gauges of workers that are gone, however they went; what they counted stays counted."""
    for path in Path(directory).iterdir():
        found = _LIVE_FILE.fullmatch(path.name)
        if found is not None and not lives(int(found[1])):
            with suppress(FileNotFoundError):  # another worker was faster
                path.unlink()


def lives(process: int) -> bool:
    """Tell whether there is a process of this number, whoever it belongs to."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
