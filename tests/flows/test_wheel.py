"""The wheel alone, without a checkout: everything that the program reads is in it."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.flows.live import ROOT

IN_IT = (
    "tradepost/migrations/env.py",
    "tradepost/migrations/versions/0001_marketplace.py",
    "tradepost/accounts/pages/reset-password.html",
    "tradepost/notifications/mail/templates/_layout.html",
    "tradepost/web/static/swagger-ui/swagger-ui-bundle.js",
    "tradepost/py.typed",
)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with nothing but what is in the wheel."""
    directory = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(directory)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = directory.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(directory / "unpacked")
    return directory / "unpacked"


def test_everything_that_is_read_is_in_the_wheel(unpacked: Path) -> None:
    for name in IN_IT:
        assert (unpacked / name).is_file(), name
    assert not list(unpacked.rglob("*.pyc"))


def test_it_runs_in_an_empty_folder(unpacked: Path, tmp_path: Path) -> None:
    program = (
        "import sys, tradepost; assert 'wheel' in tradepost.__file__; from tradepost.cli import main; main()"
    )
    settings = {"PATH": os.environ["PATH"], "PYTHONPATH": str(unpacked), "PYTHONDONTWRITEBYTECODE": "1"}
    for arguments, said in ((["migrate"], "Migrated to"), (["openapi"], '"openapi"')):
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=tmp_path,
            env=settings,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert said in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
