"""The order in which the workers of pytest-xdist take tests: longest work first, one module on one engine at a time.

By itself ``--dist loadfile`` takes the files with the most tests first. The few long tests came last, and one worker did
them for minutes while the others had nothing left to do.
"""

import os
import re
from collections import Counter
from typing import Any, Final

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

LONG: Final = (
    "tests/conformance/test_openapi.py",
    "tests/conformance/test_rights.py",
    "tests/flows/test_new_domain.py",
    "tests/migrations/test_revision.py",
    "tests/flows/",
    "tests/faults/",
    "tests/conformance/",
    "tests/migrations/",
    "tests/test_preloaded.py",
    "tests/media/test_bombs.py",
    "tests/media/test_colours.py",
    "tests/items/test_plans.py",
    "tests/items/test_engines_agree.py",
    "tests/events/test_seat_races.py",
    "tests/seeding/",
    "tests/core/test_shared_rate_limiter.py",
    "tests/architecture/",
)
"""What takes minutes, starts servers for each test, or has few tests that are long: taken first, in this order. A name that is gone means nothing."""
MOST_WORKERS: Final = 6
LOST: Final = 3
"""The status of a run that ended with one of its workers; 1 is that of one in which tests failed."""
_ENGINE: Final = re.compile(r"[\[-](sqlite|postgresql)\b")


class ByModuleAndEngine(LoadScopeScheduling):  # type: ignore[misc] # which comes without types
    """Gives a worker the tests of a module on one engine together: they share a database."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


def scope_of(nodeid: str) -> str:
    """Return the file of a test, and the engine if it has one."""
    file, _, name = nodeid.partition("::")
    engine = _ENGINE.search(name)
    return f"{file} {engine[1]}" if engine else file


def in_order(nodeids: list[str]) -> list[int]:
    """Return the places of tests in the order in which they are to be taken: the long ones, then the largest modules."""
    sizes = Counter(map(scope_of, nodeids))

    def rank(place: int) -> tuple[int, int, str]:
        scope = scope_of(nodeids[place])
        kind = next((at for at, name in enumerate(LONG) if scope.startswith(name)), len(LONG))
        return kind, -sizes[scope], scope

    return sorted(range(len(nodeids)), key=rank)


def end_when_lost(node: Any, error: object | None) -> None:
    """End the run, and fail it, when a worker died; called when one has ended, however that was.

    xdist would start another one and give it the tests of the first, the deadly one among them. A run that goes on without
    some of its tests could pass.
    """
    if error:
        scheduling = node.config.pluginmanager.getplugin("dsession").sched
        units = scheduling.assigned_work.get(node, {}).values()
        test = next((name for unit in units for name, is_done in unit.items() if not is_done), "none")
        pytest.exit(f"the worker {node.gateway.id} died; its test was {test}", returncode=LOST)


def workers() -> int:
    """Return how many workers keep the processors busy: tests also wait, for servers to start and for time to pass."""
    return min((os.cpu_count() or 1) + 1, MOST_WORKERS)


def scheduler(config: pytest.Config, log: Any) -> ByModuleAndEngine | None:
    """Return the scheduler for ``--dist loadfile``; xdist has its own for the others."""
    if config.getoption("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return ByModuleAndEngine(config, log)
