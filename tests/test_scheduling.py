from pathlib import Path

from tests.scheduling import LONG, in_order, scope_of

ROOT = Path(__file__).parents[1]


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
