import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scheduling import LONG, LOST, in_order, scope_of

ROOT = Path(__file__).parents[1]
CONFTEST = """
from tests import scheduling

def pytest_testnodedown(node, error):
    scheduling.end_when_lost(node, error)

def pytest_xdist_make_scheduler(config, log):
    return scheduling.scheduler(config, log)
"""
QUICK = "def test_quick(): pass"
DEADLY = """
import os, signal, time

def test_deadly():
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)

def test_after_it(): pass
"""


@pytest.mark.parametrize(("text", "status"), [(QUICK, 0), (DEADLY, LOST)], ids=["all end", "one dies"])
def test_a_worker_that_dies_ends_the_run_and_fails_it(tmp_path: Path, text: str, status: int) -> None:
    (tmp_path / "pytest.ini").touch()
    (tmp_path / "conftest.py").write_text(CONFTEST)
    for name in "abc":
        (tmp_path / f"test_{name}.py").write_text(QUICK)
    (tmp_path / "test_d.py").write_text(text)
    ended = subprocess.run(
        [
            sys.executable,
            *["-m", "pytest", "-p", "no:cacheprovider", "--numprocesses", "2", "--dist", "loadfile"],
            tmp_path,
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""},
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == status, ended.stdout
    assert ("died; its test was test_d.py::test_deadly" in ended.stdout) == bool(status)


def test_a_module_is_dealt_out_by_engine() -> None:
    assert scope_of("tests/tags/test_tags.py::test_a[sqlite]") == "tests/tags/test_tags.py sqlite"
    assert scope_of("tests/tags/test_tags.py::test_a[x-postgresql-1]") == "tests/tags/test_tags.py postgresql"
    assert scope_of("tests/tags/test_tags.py::test_postgresql") == "tests/tags/test_tags.py"
    assert scope_of("tests/tags/test_tags.py::Test::test_a") == "tests/tags/test_tags.py"


def test_long_ones_come_first_and_modules_stay_together() -> None:
    tests = [
        "tests/a/test_a.py::test_1",
        "tests/b/test_b.py::test_2[sqlite]",
        "tests/flows/test_c.py::test_1",
        "tests/b/test_b.py::test_1[sqlite]",
        "tests/b/test_b.py::test_1[postgresql]",
        f"{LONG[0]}::test_1[sqlite]",
    ]
    assert [tests[at] for at in in_order(tests)] == [tests[at] for at in (5, 2, 1, 3, 0, 4)]


def test_what_is_named_is_there() -> None:
    for name in LONG:
        assert (ROOT / name).exists(), f"{name} is gone: take it out of LONG in tests/scheduling.py"
