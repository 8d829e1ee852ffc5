"""Locust, in an environment of its own, makes every journey of ``deploy/load`` without an error."""

import asyncio
import subprocess
import sys
import venv
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.checkout import ROOT
from tests.flows.live import LiveServer, environment, serving, tradepost
from tradepost.loading.journeys import MIXES

FILE = ROOT / "deploy" / "load" / "locustfile.py"
TIMEOUT = 120.0


@pytest.fixture(scope="module")
def locust(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, installed for this module."""
    directory = tmp_path_factory.mktemp("locust")
    venv.create(directory, with_pip=False)
    python = directory / "bin" / "python"
    uv = Path(sys.executable).with_name("uv")
    command = [
        str(uv),
        "pip",
        "install",
        "--quiet",
        "--compile-bytecode",
        "--python",
        str(python),
        "locust>=2.40",
    ]
    installed = subprocess.run(command, capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"Locust cannot be installed here: {installed.stderr[-200:]}")
    return python.with_name("locust")


@pytest_asyncio.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[LiveServer, Path]]:
    """A server with a small marketplace, and the access tokens of people."""
    directory = tmp_path_factory.mktemp("data")
    env = environment(directory)
    with serving(env, "--demo") as server:
        await server.ready()
        said = await tradepost("tokens", "--users", "20", env=env)
        assert said.status == 0, said.output
        tokens = directory / "tokens.txt"
        tokens.write_text(said.output, encoding="ascii")
        yield server, tokens


@pytest.mark.parametrize("mix", MIXES)
async def test_every_journey(locust: Path, served: tuple[LiveServer, Path], tmp_path: Path, mix: str) -> None:
    server, tokens = served
    run = ["--headless", "--users", "4", "--spawn-rate", "4", "--run-time", "8s", "--only-summary"]
    process = await asyncio.create_subprocess_exec(
        *(str(locust), "-f", str(FILE), *run, "--host", server.url),
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "MIX": mix,
            "TOKENS": str(tokens),
            "THINK": "0.2",
        },
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), TIMEOUT)
    said = output.decode()
    # The file makes the status 1 when a request failed, or none was sent.
    assert process.returncode == 0, said
    assert "Traceback" not in said
