"""Puts the table of settings into the README anew: ``python -m tests.flows.refresh_readme``."""

import sys

from tests.flows.live import ROOT
from tradepost.core.settings.table import settings_table

README = ROOT / "README.md"
BEGIN, END = "<!-- settings -->", "<!-- /settings -->"


def refreshed(readme: str) -> str:
    """Return the README with the settings there are."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the README lacks {BEGIN} or {END}")
    return f"{before}{begin}\n{settings_table().strip()}\n{end}{after}"


def main() -> None:
    """Write the README if it is not up to date."""
    readme = README.read_text(encoding="utf-8")
    if (new := refreshed(readme)) != readme:
        README.write_text(new, encoding="utf-8")
        sys.stdout.write("The README's settings are up to date again\n")


if __name__ == "__main__":
    main()
