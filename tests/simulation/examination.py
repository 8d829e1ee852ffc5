"""Tests that are run on one mutant after the other: imported and collected once, and forked from there for each.

A mutant is brought into a fork by giving the functions of its module other code: nothing is read or imported again.
"""

import asyncio
import gc
import os
import resource
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import CodeType, FunctionType
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
CPU_SECONDS: Final = 60
"""Of the processor, after which a run is one that never ends: that is noticed, too."""
SILENT_SECONDS: Final = 90.0
"""After which a test is one that hangs."""
UNCHANGED: Final = "unchanged"


@dataclass(frozen=True)
class Mutant:
    """A module that is wrong in one place."""

    module: str
    what: str
    text: str


@dataclass
class _Test:
    item: pytest.Item
    seconds: float = 0.0
    noticed: int = 0


class _Failed(BaseException):
    """A test has."""


class Examination:
    """A plugin of pytest that runs the tests of each module on its mutants, on SQLite; ``survived`` are those that pass all.

    ``tests`` are files by module. ``say`` is told of each mutant.
    """

    def __init__(
        self,
        mutants: Sequence[Mutant],
        tests: Mapping[str, Sequence[str]],
        *,
        directory: Path,
        say: Callable[[str], object],
    ) -> None:
        self._mutants = mutants
        self._files = tests
        self._directory = directory
        self._say = say
        self._tests: dict[str, list[_Test]] = {}
        self._told: Connection | None = None
        self.survived: list[Mutant] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run no test here, and all of them in forks."""
        # What is frozen nobody finds.
        gc.unfreeze()
        asyncio.run(self._prepare())
        for module in dict.fromkeys(mutant.module for mutant in self._mutants):
            self._tests[module] = [
                _Test(item)
                for file in self._files[module]
                for item in session.items
                if item.path == ROOT / file and _is_first(item)
            ]
            self._try_unchanged(module)
        for number, mutant in enumerate(self._mutants, 1):
            by = self._examined(mutant)
            if by is None:
                self.survived.append(mutant)
            self._say(f"{number}/{len(self._mutants)} {mutant.module} {mutant.what}: {by or 'SURVIVED'}")
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell, in a fork, how long a part of a test took; the first failure ends it."""
        if self._told is not None:
            self._told.send((report.nodeid, report.duration, report.failed))
            if report.failed:
                raise _Failed

    async def _prepare(self) -> None:
        """Make what the tests of all forks stand on: a migrated SQLite database. PostgreSQL is not started for them."""
        # As pytest has it, which wants to import it itself.
        conftest = sys.modules["tests.conftest"]
        server = conftest.PostgresServer("")
        conftest.PostgresServer.running = lambda: nullcontext(server)
        template = conftest.Template("sqlite", self._directory, server)
        url = f"sqlite:///{self._directory / template.name}.db"
        async with conftest.opened(conftest.settings_for(url, self._directory)) as resources:
            await conftest.prepare_database(resources)
        conftest.TEMPLATES["sqlite"] = template

    def _try_unchanged(self, module: str) -> None:
        began = time.monotonic()
        failed, seconds = self._run(Mutant(module, UNCHANGED, ""), self._tests[module])
        if failed is not None:
            raise RuntimeError(f"{failed} fails with nothing changed in {module}")
        for test in self._tests[module]:
            test.seconds = seconds[test.item.nodeid]
        self._say(f"{len(self._tests[module])} tests of {module}: {time.monotonic() - began:.1f} s")

    def _examined(self, mutant: Mutant) -> str | None:
        """Return the test that noticed a mutant, if one did."""
        tests = self._tests[mutant.module]
        # What has noticed most in the least time comes first.
        tests.sort(key=lambda test: (0.1 + test.noticed) / (0.02 + test.seconds), reverse=True)
        failed, _ = self._run(mutant, tests)
        for test in tests:
            test.noticed += test.item.nodeid == failed
        return failed

    def _run(self, mutant: Mutant, tests: Sequence[_Test]) -> tuple[str | None, Mapping[str, float]]:
        """Run tests in a fork, up to the first that fails; return its name, and the seconds that each took."""
        ours, theirs = Pipe(duplex=False)
        child = os.fork()
        if child == 0:
            self._work(mutant, tests, theirs)
        theirs.close()
        failed: str | None = None
        seconds: dict[str, float] = defaultdict(float)
        try:
            while failed is None:
                if not ours.poll(SILENT_SECONDS):
                    failed = "one that hangs"
                    break
                name, took, is_failure = ours.recv()
                if name is None:
                    break
                seconds[name] += took
                failed = name if is_failure else None
        except EOFError:
            failed = "one that never ends"
        finally:
            ours.close()
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            # The next one's databases bear the same names: what this one wrote would be found in their logs.
            for left in self._directory.glob("*[0-9].db*"):
                left.unlink()
        return failed, seconds

    def _work(self, mutant: Mutant, tests: Sequence[_Test], told: Connection) -> None:
        """Be the fork."""
        self._told = told
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
            if mutant.what != UNCHANGED:
                change(ROOT / "src/tradepost" / mutant.module, mutant.text)
            items = [test.item for test in tests]
            for item, following in zip(items, [*items[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            told.send((None, 0.0, False))
        except _Failed:
            pass
        except BaseException as error:  # noqa: BLE001 - the process ends
            told.send((f"one that ended with {error!r}", 0.0, True))
        finally:
            # Without another word: what stands open is the original's.
            os._exit(0)


def _is_first(item: pytest.Item) -> bool:
    """Tell whether a test is the first of those that differ by their seeds alone."""
    parameters = (
        item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    )
    return parameters.get("seed", 0) == 0


def change(path: Path, text: str) -> None:
    """Give the functions of a module that is imported the code that they have in another text of it."""
    others = dict(_codes(compile(text, str(path), "exec")))
    found = dict(_codes(compile(path.read_text(), str(path), "exec")))
    places = {(code.co_qualname, code.co_firstlineno): key for key, code in found.items()}
    for function in _functions_of(path):
        code = function.__code__
        function.__code__ = others[places[code.co_qualname, code.co_firstlineno]]


def _functions_of(path: Path) -> list[FunctionType]:
    """Return the functions of a module and its classes; those within functions are made anew each time."""
    return [
        one
        for one in gc.get_objects()
        if isinstance(one, FunctionType)
        and one.__code__.co_filename == str(path)
        and "<locals>" not in one.__code__.co_qualname
    ]


def _codes(code: CodeType) -> Iterator[tuple[tuple[str, int], CodeType]]:
    """Yield the code of each function of a module and its classes, by its name and which of that name it is."""
    seen: dict[str, int] = defaultdict(int)
    for one in _within(code):
        seen[one.co_qualname] += 1
        yield (one.co_qualname, seen[one.co_qualname]), one


def _within(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType) and "<locals>" not in constant.co_qualname:
            yield constant
            yield from _within(constant)


def examine(
    mutants: Sequence[Mutant],
    tests: Mapping[str, Sequence[str]],
    *,
    directory: Path,
    say: Callable[[str], object],
) -> list[Mutant]:
    """Run the tests of each module on its mutants; return those that no test noticed."""
    examination = Examination(mutants, tests, directory=directory, say=say)
    files = sorted({file for mutant in mutants for file in tests[mutant.module]})
    options = ["-qs", "-pno:cacheprovider", "-knot postgresql", f"--basetemp={directory / 'tests'}"]
    status = pytest.main([*options, *(str(ROOT / file) for file in files)], plugins=[examination])
    if status not in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
        raise RuntimeError(f"pytest ended with {status!r}")
    return examination.survived
