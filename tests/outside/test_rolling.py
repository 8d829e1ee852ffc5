"""Three replicas are replaced one after the other behind a real load balancer, under load: nobody notices."""

import itertools
import os
from pathlib import Path
from typing import Final

import pytest

from tests.flows.rolling import Front, replace_all
from tests.outside import proxies
from tests.servers import PostgresServer

ROUNDS: Final = int(os.environ.get("SOAK_ROUNDS", "1"))
FRONTS: Final = {"nginx": proxies.nginx, "haproxy": proxies.haproxy}
_numbers = itertools.count(1)


@pytest.fixture(params=FRONTS)
def front(request: pytest.FixtureRequest) -> Front:
    if proxies.program(request.param) is None:
        pytest.skip(f"needs {request.param} (Debian: apt-get install {request.param})")
    chosen: Front = FRONTS[request.param]
    return chosen


async def test_no_request_is_lost(front: Front, postgres: PostgresServer, tmp_path: Path) -> None:
    url = await postgres.create_database(f"rolling_{next(_numbers)}")
    await replace_all(url, tmp_path, front, replicas=3, rounds=ROUNDS)
