"""What the README promises: its tour runs as it stands, and its commands, targets and settings are those there are."""

import asyncio
import re
import subprocess
from pathlib import Path

import click
import httpx
import pytest

from tests.flows.live import ROOT, environment, serving
from tests.flows.refresh_readme import BEGIN, END, README, refreshed
from tradepost.cli import main
from tradepost.core.settings.table import settings_table

TOUR_TIMEOUT = 60.0
BASE = "BASE=http://localhost:8000/api/v1"


@pytest.fixture(scope="module")
def readme() -> str:
    return README.read_text(encoding="utf-8")


def tour(readme: str) -> str:
    found = re.search(r"<!-- tour -->\n```bash\n(.*?)```", readme, re.DOTALL)
    assert found is not None, "the README has no tour"
    return found[1]


async def test_the_tour_runs_on_a_fresh_demo(readme: str, tmp_path: Path) -> None:
    script = tour(readme)
    assert BASE in script
    # Rate limits as they are for whoever follows it.
    env = environment(tmp_path, RATE_LIMIT_ENABLED="true")
    with serving(env, "--demo") as server:
        await server.ready()
        process = await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", script.replace(BASE, f"BASE={server.url}/api/v1")),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), TOUR_TIMEOUT)
        finally:
            if process.returncode is None:
                process.kill()
        said = output.decode()
        assert process.returncode == 0, said
        # The first things for sale, and the answers of the last commands.
        assert '"title":' in said
        assert "Lamp" in said.title()
        assert "HTTP_403" in said
        assert "Item not found" in said
        assert '"message":"Item deleted successfully"' in said
        assert said.rstrip().endswith("401")
        # The stream: where it stands, and what came in.
        assert "\nevent: notification\n" in said
        assert '"kind":"item_created"' in said
        # 999.99 and a fifth of it.
        assert "1199.99" in said

        banner = server.output
        assert f"http://localhost:{server.port}/docs" in banner
        async with httpx.AsyncClient(base_url=server.url) as client:
            for path in ("/docs", "/api/v1/openapi.json", "/metrics"):
                assert path in readme
                assert (await client.get(path)).status_code == 200


def test_the_table_of_settings_is_that_of_the_code(readme: str) -> None:
    table = readme.partition(BEGIN)[2].partition(END)[0].strip()
    how = "make it anew with: .venv/bin/python -m tests.flows.refresh_readme"
    assert table == settings_table().strip(), how
    assert refreshed(readme) == readme


def test_every_target_of_make_that_is_named_exists(readme: str) -> None:
    named = set(re.findall(r"`make ([a-z][a-z-]*)", readme)) | set(
        re.findall(r"^make ([a-z][a-z-]*)", readme, re.MULTILINE)
    )
    assert {"run", "test"} <= named
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert named <= targets


def test_every_command_and_option_that_is_named_exists(readme: str) -> None:
    assert set(re.findall(r"`tradepost ([a-z][a-z-]*)", readme)) == set(main.commands)
    for shown in re.findall(r"`tradepost ([a-z][^`]*)`", readme):
        name, *rest = re.findall(r"[A-Z]+|-*[a-z-]+", shown)
        command = main.commands[name]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= options
        arguments = {
            parameter.human_readable_name.upper()
            for parameter in command.params
            if isinstance(parameter, click.Argument)
        }
        assert {word for word in rest if word.isupper()} <= arguments


def test_every_file_and_directory_of_the_map_exists(readme: str) -> None:
    rooms = readme.partition("## A map of the house")[2].partition("\n## ")[0]
    named = [
        name
        for row in re.findall(r"^\| (`.*?`) \|", rooms, re.MULTILINE)
        for name in re.findall(r"`([^`]+)`", row)
    ]
    assert "items/" in named
    assert [name for name in named if not (ROOT / "src" / "tradepost" / name).exists()] == []
