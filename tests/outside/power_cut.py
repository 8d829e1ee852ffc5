"""A disk that loses its power: made from the system calls of a server, with what was not synced left out.

``strace`` says what was written, named, removed and synced, and which answers were sent, in the order in which it happened.
``Disk`` keeps apart what the system shows and what a power cut leaves: a file's bytes once the file is synced, and a name once
its directory is. Of what is not synced a cut may leave a part as well, in any order.
"""

import random
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

STRACE: Final = shutil.which("strace")
CALLS: Final = (
    "openat,creat,write,pwrite64,writev,pwritev,sendto,sendmsg,ftruncate,truncate,fallocate,fsync,fdatasync,"
    "rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir"
)
COMMAND: Final = (
    "-f",
    "-y",
    "-xx",
    "-s",
    "1000000",
    "--seccomp-bpf",
    "-e",
    f"trace={CALLS}",
    "-e",
    "signal=none",
)

_LINE: Final = re.compile(r"(\d+) +(.*)")
_CALL: Final = re.compile(r"(\w+)\((.*)\) += (-?\d+)(?:<([^>]*)>)?.*", re.DOTALL)
_UNFINISHED: Final = " <unfinished ...>"
_RESUMED: Final = re.compile(r"<\.\.\. \w+ resumed>(.*)")
_STRING: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_PATH: Final = re.compile(r"<((?:\\x[0-9a-f]{2})*)>")


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


@dataclass(frozen=True)
class Call:
    """A call that succeeded: when it began and when it had ended, as numbers of lines."""

    name: str
    arguments: str
    result: int
    began: int
    ended: int
    opened: str = ""

    @property
    def data(self) -> bytes:
        """All that it wrote or sent."""
        return b"".join(map(_bytes, _STRING.findall(self.arguments)))[: max(self.result, 0)]

    @property
    def file(self) -> str:
        """The path of the descriptor that is its first argument."""
        found = _PATH.search(self.arguments.partition(",")[0])
        return _bytes(found[1]).decode() if found else ""

    @property
    def number(self) -> int:
        """Its last argument."""
        return int(self.arguments.rpartition(",")[2], 0)

    def paths(self) -> list[str]:
        """The paths that it names, whole."""
        found: list[str] = []
        for part in re.findall(r'(?:<((?:\\x[0-9a-f]{2})*)>, )?"((?:\\x[0-9a-f]{2})*)"', self.arguments):
            directory, name = (_bytes(one).decode() for one in part)
            found.append(name if name.startswith("/") else f"{directory}/{name}")
        return found


def calls_of(trace: Path) -> list[Call]:
    """Read what ``strace`` wrote, in the order in which the calls began."""
    calls: list[Call] = []
    begun: dict[str, tuple[int, str]] = {}
    with trace.open(encoding="ascii") as lines:
        for number, line in enumerate(lines):
            found = _LINE.match(line)
            if found is None:
                continue
            thread, text = found[1], found[2]
            began = number
            if text.endswith(_UNFINISHED):
                begun[thread] = number, text.removesuffix(_UNFINISHED)
                continue
            if (rest := _RESUMED.match(text)) is not None:
                began, first = begun.pop(thread)
                text = first + rest[1]
            if (call := _CALL.match(text)) is not None and int(call[3]) >= 0:
                opened = _bytes(call[4]).decode() if call[4] else ""
                calls.append(Call(call[1], call[2], int(call[3]), began, number, opened))
    # What the end of the process broke off has neither written nor synced for certain.
    return sorted(calls, key=lambda call: call.began)


Change = Callable[[bytearray], None]


@dataclass(eq=False)
class _File:
    """What a cut leaves of a file, and the changes since, in order."""

    kept: bytearray = field(default_factory=bytearray)
    changes: list[Change] = field(default_factory=list)

    def sync(self, upto: int) -> None:
        for change in self.changes[:upto]:
            change(self.kept)
        del self.changes[:upto]

    def after_a_cut(self, keeps: Callable[[], bool]) -> bytes:
        content = bytearray(self.kept)
        for change in self.changes:
            if keeps():
                change(content)
        return bytes(content)


@dataclass(eq=False)
class _Directory:
    names: dict[str, "_File | _Directory"] = field(default_factory=dict)
    kept: dict[str, "_File | _Directory"] = field(default_factory=dict)
    changes: list[tuple[str, "_File | _Directory | None"]] = field(default_factory=list)

    def set(self, name: str, to: "_File | _Directory | None") -> None:
        self.changes.append((name, to))
        _set(self.names, name, to)

    def sync(self, upto: int) -> None:
        for name, to in self.changes[:upto]:
            _set(self.kept, name, to)
        del self.changes[:upto]

    def after_a_cut(self, keeps: Callable[[], bool]) -> "dict[str, _File | _Directory]":
        names = dict(self.kept)
        for name, to in self.changes:
            if keeps():
                _set(names, name, to)
        return names


def _set(names: dict[str, Any], name: str, to: Any) -> None:
    if to is None:
        names.pop(name, None)
    else:
        names[name] = to


class Disk:
    """The directory that is ``called`` so in a trace, and held what ``before`` does when that began.

    Syncs of paths that end like ``forgets`` do nothing.
    """

    def __init__(self, before: Path, *, called: Path, forgets: str = "") -> None:
        self._at = str(called)
        self._forgets = forgets
        self._root = _loaded(before)
        # When each ends, of what, and of how many changes from the first.
        self._syncs: list[tuple[int, _File | _Directory, int]] = []

    def take(self, call: Call) -> None:
        """Do what a call did."""
        self.settle(call.began)
        match call.name:
            case "openat" | "creat":
                self._open(call)
            case "write" | "writev":
                # SQLite says where it writes, and our files are written from their beginning to their end.
                self._change(call.file, _appended(call.data))
            case "pwrite64" | "pwritev":
                self._change(call.file, _put(call.number, call.data))
            case "ftruncate" | "truncate":
                self._change(call.file or call.paths()[0], _cut_to(call.number))
            case "fsync" | "fdatasync":
                self._sync(call)
            case _:
                self._name_or_not(call)

    def settle(self, line: int) -> None:
        """Have the syncs done that had ended by a line of the trace."""
        while done := [sync for sync in self._syncs if sync[0] <= line]:
            self._syncs.remove(done[0])
            _, found, upto = done[0]
            found.sync(upto)
            self._syncs = [
                (ended, other, max(0, many - upto) if other is found else many)
                for ended, other, many in self._syncs
            ]

    def after_a_cut(self, to: Path, keeps: Callable[[], bool] = lambda: False) -> None:
        """Write down what a power cut leaves; ``keeps`` tells whether one of the changes that were not synced is there."""
        _write_down(self._root, to, keeps)

    def _open(self, call: Call) -> None:
        if call.name == "openat" and "O_CREAT" not in call.arguments and "O_TRUNC" not in call.arguments:
            return
        if self._find(call.opened) is None:
            self._name(call.opened, _File())
        if call.name == "creat" or "O_TRUNC" in call.arguments:
            self._change(call.opened, _cut_to(0))

    def _name_or_not(self, call: Call) -> None:
        match call.name:
            case "mkdir" | "mkdirat":
                self._name(call.paths()[0], _Directory())
            case "unlink" | "unlinkat" | "rmdir":
                self._name(call.paths()[0], None)
            case "link" | "linkat":
                old, new = call.paths()
                self._name(new, self._find(old))
            case "rename" | "renameat" | "renameat2":
                old, new = call.paths()
                self._name(new, self._find(old))
                self._name(old, None)

    def _sync(self, call: Call) -> None:
        found = self._find(call.file)
        if found is not None and not (self._forgets and call.file.endswith(self._forgets)):
            self._syncs.append((call.ended, found, len(found.changes)))

    def _change(self, path: str, change: Change) -> None:
        if isinstance(found := self._find(path), _File):
            found.changes.append(change)

    def _name(self, path: str, to: _File | _Directory | None) -> None:
        directory, _, name = path.rpartition("/")
        if isinstance(above := self._find(directory), _Directory):
            above.set(name, to)

    def _find(self, path: str) -> _File | _Directory | None:
        if path != self._at and not path.startswith(f"{self._at}/"):
            return None
        found: _File | _Directory | None = self._root
        for name in path[len(self._at) + 1 :].split("/") if path != self._at else ():
            found = found.names.get(name) if isinstance(found, _Directory) else None
        return found


def _loaded(path: Path) -> _Directory:
    directory = _Directory()
    for entry in path.iterdir():
        directory.kept[entry.name] = (
            _loaded(entry) if entry.is_dir() else _File(bytearray(entry.read_bytes()))
        )
    directory.names = dict(directory.kept)
    return directory


def _write_down(directory: _Directory, to: Path, keeps: Callable[[], bool]) -> None:
    to.mkdir(parents=True)
    for name, found in directory.after_a_cut(keeps).items():
        if isinstance(found, _Directory):
            _write_down(found, to / name, keeps)
        else:
            (to / name).write_bytes(found.after_a_cut(keeps))


def _put(at: int, data: bytes) -> Change:
    def change(content: bytearray) -> None:
        content.extend(bytes(max(0, at - len(content))))
        content[at : at + len(data)] = data

    return change


def _appended(data: bytes) -> Change:
    return lambda content: content.extend(data)


def _cut_to(size: int) -> Change:
    def change(content: bytearray) -> None:
        del content[size:]
        content.extend(bytes(size - len(content)))

    return change


def cuts(
    calls: list[Call], disk: Disk, number: int, chance: random.Random, answered: re.Pattern[bytes]
) -> Iterator[tuple[int, set[str], bool]]:
    """Go through the calls, and stop at so many places: where, which answers were on their way, and whether a part is kept.

    ``answered`` finds the name of a request in what is sent to a client.
    """
    places = set(chance.sample(range(len(calls)), min(number, len(calls))))
    seen: set[str] = set()
    for at, call in enumerate(calls):
        if call.name in {"write", "writev", "sendto", "sendmsg"} and call.file.startswith("socket:"):
            seen |= {name.decode() for name in answered.findall(call.data)}
        disk.take(call)
        if at in places:
            yield at, set(seen), chance.random() < 0.5
