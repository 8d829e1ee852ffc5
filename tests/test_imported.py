"""The process that workers are forked from, as an operator has it: other tests fork their workers themselves."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from tests import preloaded
from tests.flows.live import connecting, environment, eventually, reserved_port, worker_of

pytestmark = pytest.mark.skipif(
    not Path(f"/proc/self/task/{os.getpid()}/children").exists(),
    reason="looks for processes as Linux tells them",
)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def imports(pid: int) -> bool:
    """Tell whether it is the process that workers are to be forked from."""
    return "multiprocessing.forkserver" in Path(f"/proc/{pid}/cmdline").read_text()


def own_part(pid: int) -> float:
    """Return how much of a process's memory no other has."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()[1:]
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return (sizes["Private_Clean"] + sizes["Private_Dirty"]) / sizes["Rss"]


def left_by_multiprocessing(directory: Path) -> list[Path]:
    return list(directory.glob("pymp-*"))


class Server:
    """A server of two workers in a process group of its own."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, temporary: Path) -> None:
        self.process = process
        self.temporary = temporary
        self._port = port

    @property
    def common(self) -> int:
        """The process that has workers."""
        (found,) = (child for child in children(self.process.pid) if children(child))
        return found

    async def two_answer(self, *, but: Collection[str] = ()) -> set[str]:
        """Wait until two workers are ready that are not among these, and return their names."""
        names: set[str] = set()

        async def ready() -> bool:
            async with connecting(base_url=f"http://127.0.0.1:{self._port}") as client:
                with suppress(httpx.TransportError):
                    answer = await client.get("/readyz")
                    if answer.status_code == 200:
                        names.add(worker_of(answer))
            names.difference_update(but)
            return len(names) == 2

        await eventually(ready)
        return names


@asynccontextmanager
async def served(directory: Path, **settings: object) -> AsyncIterator[Server]:
    # Not in the test's own directory: the path of a socket may not be long.
    with reserved_port() as port, TemporaryDirectory(prefix="tradepost-") as temporary:
        process = await asyncio.create_subprocess_exec(
            *(preloaded.TRADEPOST, "serve", "--port", str(port), "--workers", "2"),
            env=environment(directory, TMPDIR=temporary),
            process_group=0,
        )
        try:
            yield Server(process, port, Path(temporary))
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def test_workers_share_what_was_imported_and_end_before_the_process_above(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        await server.two_answer()
        workers = children(server.common)
        assert len(workers) == 2
        assert max(map(own_part, workers)) < 0.6
        # What a server that is killed leaves there the next one removes, and it alone.
        assert left_by_multiprocessing(server.temporary) == []
        # To all of them, as a terminal and systemd send it.
        os.killpg(server.process.pid, signal.SIGTERM)
        assert await server.process.wait() == 0
        assert not any(map(is_there, workers))


async def test_all_are_replaced_when_the_process_that_they_come_from_is_killed(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        names = await server.two_answer()
        workers = children(server.common)
        os.kill(server.common, signal.SIGKILL)
        await server.two_answer(but=names)

        async def others_are_gone() -> bool:
            return not any(map(is_there, workers))

        await eventually(others_are_gone)
        assert len(children(server.common)) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_all_end_in_order_while_what_they_have_in_common_is_still_imported(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with served(tmp_path) as server:

        async def is_importing() -> bool:
            return any(map(imports, children(server.process.pid)))

        await eventually(is_importing)
        os.killpg(server.process.pid, number)
        assert await server.process.wait() == 0


async def test_workers_come_where_the_directory_for_temporary_files_has_a_long_path(tmp_path: Path) -> None:
    temporary = tmp_path / ("long" * 20)
    temporary.mkdir()
    async with served(tmp_path, TMPDIR=temporary) as server:
        await server.two_answer()
