"""The import contracts hold, and each one breaks when it is broken."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PLANTS = {
    "Packages import only from the floors below them": ("core/clock.py", "import tradepost.items.errors"),
    "Inside a domain, imports go from the routes down to the schemas": (
        "tags/errors.py",
        "import tradepost.tags.service",
    ),
    "FastAPI and Starlette stop at web, the routes and the dependencies": (
        "items/service.py",
        "import fastapi",
    ),
    "The rooms of core import only from the floors below them": (
        "core/clock.py",
        "import tradepost.core.database.engines",
    ),
    "The rooms of web import only from the floors below them": (
        "web/problems/rendering.py",
        "import tradepost.web.routing.route",
    ),
    "No package imports in a circle": (
        "core/storage/store.py",
        "import tradepost.core.storage.local",
    ),
}


async def lint(directory: Path) -> tuple[int, str]:
    """Run the linter on a copy of the sources; return its status and what it says."""
    linter = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("lint-imports"),
        "--no-cache",
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(directory / "src"), "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await linter.communicate()
    return linter.returncode or 0, output.decode()


def copied(directory: Path) -> Path:
    """Copy what the linter looks at."""
    shutil.copytree(ROOT / "src", directory / "src", ignore=shutil.ignore_patterns("__pycache__", "static"))
    shutil.copy(ROOT / "pyproject.toml", directory)
    return directory


async def test_the_contracts_hold(tmp_path: Path) -> None:
    status, output = await lint(copied(tmp_path))
    assert status == 0, output
    for contract in PLANTS:
        assert f"{contract} KEPT" in output


@pytest.mark.parametrize("contract", PLANTS)
async def test_a_planted_violation_is_found(tmp_path: Path, contract: str) -> None:
    path, violation = PLANTS[contract]
    module = copied(tmp_path) / "src" / "tradepost" / path
    module.write_text(f"{violation}\n{module.read_text(encoding='utf-8')}", encoding="utf-8")
    status, output = await lint(tmp_path)
    assert status != 0
    assert f"{contract} BROKEN" in output
