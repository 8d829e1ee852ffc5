"""The image is for deployment: started as it is, it must not be a developer's server that everybody can reach."""

import os
import platform
import re
import subprocess
import sys

import pytest

from tests.flows.live import ROOT

IMAGE = (ROOT / "Dockerfile").read_text("utf-8").rpartition("\nFROM ")[2]

HASHES = """
import os
import asyncio
from pathlib import Path
from tradepost.accounts.passwords import DECOY, PasswordHasher

def memory():
    return int(Path("/proc/self/statm").read_text().split()[1])

async def main():
    hasher = PasswordHasher()
    assert not hasher.is_outdated(DECOY)
    before = memory()
    for _ in range(3):
        assert not await hasher.verify(None, "x")
    hasher.close()
    print((memory() - before) * os.sysconf("SC_PAGE_SIZE"))

asyncio.run(main())
"""


def test_the_image_does_not_start_in_local() -> None:
    assert "ENVIRONMENT=production" in IMAGE


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator than the image's")
def test_the_memory_of_a_hash_is_given_back_in_the_image_and_in_make_run() -> None:
    (tunables,) = set(
        re.findall(r"GLIBC_TUNABLES ?\??= ?(\S+)", IMAGE + (ROOT / "Makefile").read_text("utf-8"))
    )
    grown = subprocess.run(
        [sys.executable, "-c", HASHES],
        env=os.environ | {"GLIBC_TUNABLES": tunables},
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    assert int(grown) < 10 * 2**20
