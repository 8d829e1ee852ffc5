"""The process above several workers."""

import subprocess
import sys

LOOK = """
import sys
import tradepost.supervisor
print(sorted(name for name in ("fastapi", "pydantic", "sqlalchemy", "tradepost.bootstrap") if name in sys.modules))
"""


def test_it_imports_nothing_of_the_application() -> None:
    found = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
