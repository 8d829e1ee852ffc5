"""A server imports what its settings ask for: the rest would cost each process memory, and time until it is ready."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.flows.live import environment

LOOK = """
import asyncio, json, sys
from tradepost.cli import main
main.commands["serve"]
from tradepost.bootstrap import opened
from tradepost.core.database import revisions
from tradepost.core.settings.settings import Settings
async def look():
    async with opened(Settings.load()) as resources:
        await revisions.is_behind(resources.database)
asyncio.run(look())
print(json.dumps(sorted(sys.modules)))
"""
REDIS = {"redis", "tradepost.core.signals.redis", "tradepost.core.shared_rate_limiter"}
S3 = {"obstore", "tradepost.core.storage.s3"}
ELSEWHERE = {"alembic", "tradepost.backups", "tradepost.cli.seed", "tradepost.loading", "tradepost.seeding"}
"""What other commands need."""
IN_S3 = {
    "USE_S3": "true",
    "AWS_S3_BUCKET_NAME": "files",
    "AWS_ACCESS_KEY_ID": "a",
    "AWS_SECRET_ACCESS_KEY": "b",
}


@pytest.mark.parametrize(
    ("settings", "there"),
    [({}, set()), ({"REDIS_URL": "redis://127.0.0.1:9"}, REDIS), (IN_S3, S3)],
    ids=["plain", "redis", "s3"],
)
def test_a_server_imports_what_it_uses(settings: dict[str, Any], there: set[str], tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-c", LOOK],
        env=environment(tmp_path, **settings),
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(json.loads(found.stdout.splitlines()[-1]))
    assert "tradepost.main" in imported
    assert imported & (REDIS | S3 | ELSEWHERE) == there
