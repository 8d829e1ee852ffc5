"""CPU time of process trees, read from `/proc` (user + system, as the kernel accounts it)."""

from __future__ import annotations

import os
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


def _stat_fields(pid: int) -> list[str] | None:
    """The fields of `/proc/<pid>/stat` after the command's name, or None when the process has gone."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name stands in parentheses and may itself hold spaces and parentheses: cut after the last one.
    return text[text.rindex(")") + 2 :].split()


def tree_of(root: int) -> list[int]:
    """`root` and all its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            fields = _stat_fields(int(entry.name))
            if fields is not None:
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def seconds_of_tree(root: int) -> float:
    """CPU seconds that the tree under `root` has used so far, ended and reaped children included.

    The resolution is one clock tick (10 ms as a rule), so a window should be seconds long.
    """
    ticks = 0
    for pid in tree_of(root):
        fields = _stat_fields(pid)
        if fields is not None:
            # utime, stime, cutime, cstime (proc(5) fields 14 to 17): the last two are those of children that
            # were waited for, so that a backend which ends inside the window is not lost.
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / TICKS_PER_SECOND


def parent_of(pid: int) -> int:
    """The process that started `pid`; `ProcessLookupError` when there is no such process on this machine."""
    fields = _stat_fields(pid)
    if fields is None:
        raise ProcessLookupError(pid)
    return int(fields[1])


def seconds_of_machine() -> float:
    """CPU seconds that all processes and the kernel have used so far; also what a hypervisor took for others."""
    user, nice, system, _idle, _waiting, *interrupts_and_steal = map(
        int, (PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + sum(interrupts_and_steal)) / TICKS_PER_SECOND
