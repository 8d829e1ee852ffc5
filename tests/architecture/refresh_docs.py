"""Makes anew what the docs draw from the code: ``make docs``."""

import sys
from typing import Final

from tests.architecture.journeys import svg
from tests.checkout import ROOT
from tradepost.core.settings.table import settings_table

README: Final = ROOT / "README.md"
DOCS: Final = ROOT / "docs"
OPERATIONS: Final = DOCS / "operations.md"
PICTURE: Final = DOCS / "journeys.svg"
BEGIN, END = "<!-- settings -->", "<!-- /settings -->"


def refreshed(operations: str) -> str:
    """Return the page on operations with the settings there are."""
    before, begin, rest = operations.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{OPERATIONS.name} lacks {BEGIN} or {END}")
    return f"{before}{begin}\n{settings_table().strip()}\n{end}{after}"


def main() -> None:
    """Write each page and picture that is not up to date."""
    operations = refreshed(OPERATIONS.read_text(encoding="utf-8"))
    for path, new in ((OPERATIONS, operations), (PICTURE, svg())):
        if not path.exists() or path.read_text(encoding="utf-8") != new:
            path.write_text(new, encoding="utf-8")
            sys.stdout.write(f"{path.name} is up to date again\n")


if __name__ == "__main__":
    main()
