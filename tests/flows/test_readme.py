"""The README's tour runs as it stands."""

import asyncio
import re
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.architecture.refresh_docs import README
from tests.flows.live import environment, serving

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
