"""The worked example of a new domain works as it stands: its files, its additions, its migration and its test."""

import re
import sys
from pathlib import Path

from tests.checkout import ROOT, Checkout

PAGE = ROOT / "docs" / "new-domain.md"
FILE = re.compile(r"<!-- file: (\S+) -->\n```python\n(.*?)```", re.DOTALL)
ADDITION = re.compile(r"^\| `(\S+)` \| `(.*)` \| `(.*)` \|$", re.MULTILINE)


def build(checkout: Checkout) -> None:
    """Do what the page says."""
    page = PAGE.read_text(encoding="utf-8")
    for name, content in FILE.findall(page):
        path = checkout.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    (checkout.package / "memos" / "__init__.py").touch()
    additions = ADDITION.findall(page.partition("<!-- additions -->")[2])
    assert additions
    for name, start, line in additions:
        add(checkout.directory / name, start.replace("\\", ""), line.replace("\\", ""))


def add(file: Path, start: str, line: str) -> None:
    """Add a line below the first that begins with ``start``."""
    lines = file.read_text(encoding="utf-8").splitlines()
    found = [number for number, text in enumerate(lines) if text.startswith(start)]
    assert found, f"no line of {file} begins with {start!r}"
    lines.insert(found[0] + 1, line)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


async def test_the_example_of_a_domain(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    build(checkout)
    migration = await checkout.revise("add memos")
    assert '"ix_memos_user_id_id"' in migration
    for command in (
        [
            "-m",
            "ruff",
            "check",
            "--fix",
            "--select",
            "I",
            "src/tradepost/api.py",
            "src/tradepost/bootstrap.py",
        ],
        ["-m", "ruff", "check", "src", "tests/memos", "tests/migrations"],
        ["-m", "ruff", "format", "--check", "src", "tests/memos", "tests/migrations"],
    ):
        status, output = await checkout.run(*command)
        assert status == 0, output
    status, output = await checkout.execute(
        Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"
    )
    assert status == 0, output
    await checkout.passes(
        *("tests/memos", "tests/migrations/test_migrations.py::test_down_and_up_again_with_rows"),
        *(
            "tests/architecture/test_wiring.py::test_nothing_was_forgotten",
            "tests/architecture/test_rules.py",
        ),
        *(
            "tests/conformance/test_document.py",
            "tests/conformance/test_conditional.py::test_every_single_resource_is_in_the_table",
            "tests/conformance/test_conditional.py::test_every_operation_on_a_resource_documents_its_condition",
            "tests/conformance/test_examples.py::test_untouched_examples_succeed",
            "tests/conformance/test_rights.py::test_every_operation_is_in_the_table_once",
            "tests/conformance/test_rights.py::test_the_document_says_the_same",
        ),
    )
