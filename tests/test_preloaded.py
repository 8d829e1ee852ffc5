import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests import preloaded
from tests.flows.live import connecting, environment, eventually, reserved_port, serving, tradepost, worker_of

ORPHAN = """
import os, signal, sys
from pathlib import Path
from tests import preloaded

directory = Path(sys.argv[1])
process = preloaded.start(
    ["serve", "--port", "0"], env={**os.environ, "DATA_DIR": sys.argv[2]}, output=2, directory=directory
)
print(process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def as_an_operator(*arguments: str, env: dict[str, str], cwd: Path) -> tuple[int, str]:
    """Run the command that the installation made."""
    ended = subprocess.run(
        [preloaded.TRADEPOST, *arguments],
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout


MOST_OF_A_SUPERVISOR = 30_000
"""Kilobytes: it does nothing with the application, and has left it behind."""


def memory_of(pid: int) -> int:
    """Return what memory a process has for itself, and its part of what it shares, in kilobytes; 0 where nobody tells."""
    told = Path(f"/proc/{pid}/smaps_rollup")
    lines = told.read_text(encoding="ascii").splitlines() if told.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("arguments", "status", "environment_name"),
    [
        (["openapi"], 0, "local"),
        (["serve", "--port", "many"], 2, "local"),
        (["migrate"], 1, "production"),
    ],
    ids=["an answer", "a usage error", "a refusal"],
)
async def test_it_does_what_the_command_does(
    tmp_path: Path, arguments: list[str], status: int, environment_name: str
) -> None:
    (tmp_path / ".env").write_text("PROJECT_NAME=Named in the directory\n")
    env = environment(tmp_path, ENVIRONMENT=environment_name, VERSION="9.8.7")
    expected = as_an_operator(*arguments, env=env, cwd=tmp_path)
    found = await tradepost(*arguments, env=env, cwd=tmp_path)
    assert (found.status, found.output) == expected
    assert found.status == status
    if not status:
        assert "Named in the directory" in found.output
        assert "9.8.7" in found.output


async def test_its_end_is_heard_of(tmp_path: Path) -> None:
    with serving(environment(tmp_path)) as server:
        await server.ready()
        assert os.getpgid(server.pid) == server.pid
        server.send(signal.SIGTERM)
        assert await server.ended() == 0
    with serving(environment(tmp_path)) as server:
        await server.ready()
        server.send(signal.SIGKILL)
        assert await server.ended() == -signal.SIGKILL


@pytest.mark.parametrize("workers", [1, 2])
async def test_the_command_itself_serves(tmp_path: Path, workers: int) -> None:
    """What everything else tries is forked: this one is not."""
    with reserved_port() as port:
        process = await asyncio.create_subprocess_exec(
            *(preloaded.TRADEPOST, "serve", "--port", str(port), "--workers", str(workers)),
            env=environment(tmp_path),
        )
        names: set[str] = set()
        try:

            async def all_are_ready() -> bool:
                async with connecting(base_url=f"http://127.0.0.1:{port}") as client:
                    with suppress(httpx.TransportError):
                        answer = await client.get("/readyz")
                        if answer.status_code == 200:
                            names.add(worker_of(answer))
                return len(names) == workers

            await eventually(all_are_ready)
            if workers > 1:
                assert memory_of(process.pid) < MOST_OF_A_SUPERVISOR
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
        finally:
            with suppress(ProcessLookupError):
                process.kill()


async def test_what_was_read_before_the_fork_may_not_differ(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        await tradepost("openapi", env=environment(tmp_path, PYTHONHASHSEED="1"))


async def test_a_test_run_that_is_killed_leaves_nothing_behind(tmp_path: Path) -> None:
    directory, data = tmp_path / "directory", tmp_path / "data"
    directory.mkdir()
    data.mkdir()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ORPHAN, str(directory), str(data)), cwd=preloaded.ROOT, stdout=subprocess.PIPE
    )
    output, _ = await process.communicate()

    async def gone() -> bool:
        return not directory.exists() and not is_there(int(output))

    assert process.returncode == -signal.SIGKILL
    await eventually(gone)
