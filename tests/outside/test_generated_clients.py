"""Clients that generators make of the OpenAPI document, and what linters say of it.

Each client registers, logs in, creates, lists with filters, uploads, reads a typed problem, and reads the stream. The
generators are in ``clients/package.json``, with all that they need in its lock; npm fetches them into ``build/clients`` once.
"""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.flows.live import ROOT, LiveServer, environment, serving

HERE: Final = Path(__file__).parent / "clients"
LOCK: Final = HERE / "package-lock.json"
BUILD: Final = ROOT / "build" / "clients"
AWAY: Final = re.compile(
    r"\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ENOTCACHED)\b"
)
OLDEST_NODE: Final = 20
MINUTES: Final = 60.0
QUIET: Final = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}

_numbers = itertools.count()


def _has_node() -> bool:
    if shutil.which("npm") is None or shutil.which("node") is None:
        return False
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    return int(version.removeprefix("v").partition(".")[0]) >= OLDEST_NODE


needs_node = pytest.mark.skipif(not _has_node(), reason=f"needs Node.js {OLDEST_NODE} or newer, and npm")


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """Run a command to its end and return what it wrote; it must succeed."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | QUIET | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=10 * MINUTES,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-8000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    variables = environment(tmp_path_factory.mktemp("data"))
    with serving(variables, "--host", "127.0.0.1") as server:
        yield server


@pytest.fixture(scope="module")
async def tools(server: LiveServer) -> Path:
    """The directory with the document, and with the generators and linters of npm."""
    await server.ready()
    BUILD.mkdir(parents=True, exist_ok=True)
    for path in HERE.iterdir():
        if path.is_file():
            shutil.copy(path, BUILD)
    wanted = LOCK.read_text()
    installed = BUILD / "installed.json"
    if not installed.exists() or installed.read_text() != wanted:
        fetch()
        installed.write_text(wanted)
    shutil.rmtree(BUILD / "generated", ignore_errors=True)
    (BUILD / "openapi.json").write_text(document_of(server))
    return BUILD


def fetch() -> None:
    """Install what the lock names; without a way to npm's registry, the tests that need it are left out."""
    try:
        run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=BUILD)
    except AssertionError as error:
        if away := AWAY.search(str(error)):
            pytest.skip(f"npm cannot reach its registry to fetch the generators of clients: {away[0]}")
        raise


def document_of(server: LiveServer) -> str:
    answer = httpx.get(f"{server.url}/api/v1/openapi.json", timeout=MINUTES)
    assert answer.status_code == 200
    return answer.text


@pytest.fixture(scope="module")
def built(server: LiveServer, tools: Path) -> Path:
    """The clients in TypeScript with their scenarios, generated and compiled: a type that is wrong ends here."""
    programs = tools / "node_modules" / ".bin"
    run(programs / "openapi-ts", cwd=tools)
    run(programs / "openapi-typescript", "openapi.json", "-o", "generated/schema.d.ts", cwd=tools)
    run(programs / "orval", cwd=tools, BASE=server.url)
    run(programs / "tsc", "--project", ".", cwd=tools)
    return tools / "built"


def somebody() -> str:
    return f"ada{next(_numbers)}@example.com"


def test_the_lock_names_no_registry() -> None:
    assert '"resolved"' not in LOCK.read_text()


@needs_node
@pytest.mark.parametrize("client", ["hey-api", "openapi-fetch", "orval"])
def test_a_client_in_typescript_passes_the_scenario(client: str, server: LiveServer, built: Path) -> None:
    run("node", built / f"{client}.js", cwd=built, BASE=server.url, EMAIL=somebody())


async def test_a_client_in_python_passes_the_scenario(server: LiveServer, tmp_path: Path) -> None:
    await server.ready()
    (tmp_path / "openapi.json").write_text(document_of(server))
    python = Path(sys.executable)
    generator = python.with_name("openapi-python-client")
    told = run(
        generator,
        *("generate", "--path", "openapi.json", "--config", HERE / "openapi_python_client.yaml"),
        *("--meta", "none", "--output-path", "tradepost_client"),
        cwd=tmp_path,
        PATH=f"{python.parent}:{os.environ['PATH']}",
    )
    assert "Warning" not in told, told
    scenario = HERE / "openapi_python_client.py"
    run(python, scenario, cwd=tmp_path, PYTHONPATH=str(tmp_path), BASE=server.url, EMAIL=somebody())


@needs_node
def test_redocly_finds_nothing(tools: Path) -> None:
    program = tools / "node_modules" / ".bin" / "redocly"
    told = run(program, "lint", "openapi.json", "--config", "redocly.yaml", "--format", "json", cwd=tools)
    report: dict[str, Any] = json.loads(told[told.index("{\n") : told.rindex("}") + 1])
    assert report["problems"] == []


@needs_node
def test_spectral_finds_nothing(tools: Path) -> None:
    program = tools / "node_modules" / ".bin" / "spectral"
    told = run(program, "lint", "openapi.json", "--fail-severity", "hint", cwd=tools)
    assert "No results" in told, told
