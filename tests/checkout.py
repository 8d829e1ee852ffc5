"""A copy of the repository that a test may change: for what is tried on a house that is built further."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


class Checkout:
    """A copy of the sources, the migrations, the docs and the tests."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.package = directory / "src" / "tradepost"
        self.versions = directory / "migrations" / "versions"
        # With the bytecode that is there: compiling the house anew takes longer than what is tried on it.
        for name in ("src", "migrations", "docs", "tests"):
            shutil.copytree(ROOT / name, directory / name)
        shutil.copy(ROOT / "pyproject.toml", directory)

    async def run(self, *command: str) -> tuple[int, str]:
        """Run a module or script of the copy; return its status and what it wrote."""
        return await self.execute(sys.executable, *command)

    async def execute(self, program: str | Path, *arguments: str) -> tuple[int, str]:
        """Run a program within the copy; return its status and what it wrote."""
        process = await asyncio.create_subprocess_exec(
            *(program, *arguments),
            cwd=self.directory,
            env=os.environ | {"PYTHONPATH": str(self.directory / "src")},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        return process.returncode or 0, output.decode()

    async def revise(self, message: str) -> str:
        """Write the next migration and return its text, formatted and free of lint."""
        before = set(self.versions.iterdir())
        status, output = await self.run("migrations/revise.py", message)
        assert status == 0, output
        (written,) = (path for path in set(self.versions.iterdir()) - before if path.suffix == ".py")
        assert f"Wrote migrations/versions/{written.name}" in output
        for command in (["format", "--check"], ["check"]):
            status, output = await self.run("-m", "ruff", *command, str(written))
            assert status == 0, output
        return written.read_text(encoding="utf-8")

    async def refused(self, message: str) -> str:
        """Ask for a migration that is not written, and return why not."""
        before = set(self.versions.iterdir())
        status, output = await self.run("migrations/revise.py", message)
        assert status != 0
        assert {path for path in self.versions.iterdir() if path.suffix == ".py"} <= before
        return output

    async def passes(self, *tests: str) -> None:
        """Run these tests of the copy, on both engines."""
        status, output = await self.run("-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
        assert status == 0, output
