"""Every test of media begins with an empty storage."""

import shutil
from collections.abc import Iterator

import pytest

from tests.conftest import World


@pytest.fixture(autouse=True)
def _empty_storage(world: World) -> Iterator[None]:
    yield
    # The rows go with the tables; what is below the directory, not the directory: that would mean that a disk is away.
    for path in world.parts.settings.UPLOAD_DIR.glob("*"):
        shutil.rmtree(path)
