"""What the README and the docs name is there: commands, targets, settings, files, rooms and pages."""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.architecture.journeys import CHARACTERS, JOURNEYS, MOST_LINES, svg
from tests.architecture.refresh_docs import BEGIN, DOCS, END, OPERATIONS, PICTURE, README, refreshed
from tests.checkout import ROOT
from tradepost.cli import main
from tradepost.core.settings.table import settings_table

PAGES = (*sorted(ROOT.glob("*.md")), *sorted(DOCS.glob("*.md")))
PACKAGE = ROOT / "src" / "tradepost"
ANEW = "make it anew with: make docs"

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def test_the_table_of_settings_is_that_of_the_code() -> None:
    operations = OPERATIONS.read_text(encoding="utf-8")
    table = operations.partition(BEGIN)[2].partition(END)[0].strip()
    assert table == settings_table().strip(), ANEW
    assert refreshed(operations) == operations


def test_the_picture_of_the_journeys_is_drawn_from_its_text() -> None:
    assert PICTURE.read_text(encoding="utf-8") == svg(), ANEW


def test_every_stop_of_a_journey_exists() -> None:
    for journey in JOURNEYS:
        for module, happening in journey.stops:
            assert (PACKAGE / module).exists(), (
                f"{module} is gone: change its stop in tests/architecture/journeys.py"
            )
            assert len(textwrap.wrap(happening, CHARACTERS)) <= MOST_LINES, happening


@every_page
def test_every_target_of_make_that_is_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"`make ([a-z][a-z-]*)", text)) | set(
        re.findall(r"^make ([a-z][a-z-]*)", text, re.MULTILINE)
    )
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert named <= targets
    if page == README:
        assert {"run", "test"} <= named


def test_every_command_is_told_of() -> None:
    named = set(re.findall(r"`tradepost ([a-z][a-z-]*)", OPERATIONS.read_text(encoding="utf-8")))
    assert named == set(main.commands)


@every_page
def test_every_command_and_option_that_is_named_exists(page: Path) -> None:
    for shown in re.findall(r"`tradepost ([a-z][^`]*)`", page.read_text(encoding="utf-8")):
        name, *rest = re.findall(r"[A-Z]+|-*[a-z-]+", shown)
        command = main.commands[name]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= options
        arguments = {
            parameter.human_readable_name.upper()
            for parameter in command.params
            if isinstance(parameter, click.Argument)
        }
        assert {word for word in rest if word.isupper()} <= arguments


@every_page
def test_every_file_and_directory_that_is_named_exists(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    # A path has a slash within or the ending of a file of ours. So have media types and limits of rates.
    named = re.findall(
        r"`(?!multipart/|application/|image/|requests/period|\d)((?:[\w.-]+/)+[\w.-]*|[\w.-]+\.(?:py|md|toml|yaml|ini))`",
        text,
    )
    assert [name for name in named if not any((at / name).exists() for at in (ROOT, PACKAGE))] == []


@every_page
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in set(anchors(file)), target


def anchors(page: Path) -> Iterator[str]:
    """Yield the addresses of a page's headings."""
    for heading in re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("floor", ["", "core/"])
def test_every_room_is_on_the_map(floor: str) -> None:
    """And nothing else is: a room that came, went or was renamed changes ``docs/architecture.md`` too."""
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    named = {
        name
        for row in re.findall(r"^\| (`.*?`) \|", page, re.MULTILINE)
        for name in re.findall(r"`([^`]+)`", row)
        if name.startswith("core/") == (floor == "core/") or name == floor
    }
    there = {
        floor + (f"{entry.name}/" if entry.is_dir() else entry.name)
        for entry in (PACKAGE / floor).iterdir()
        if entry.suffix == ".py" or (entry / "__init__.py").exists()
    } - {floor + "__init__.py"}
    differing = (named ^ there) - {"core/"}
    assert not differing, f"put on the map of docs/architecture.md, or take off it: {differing}"
    assert "`core/`" in page


def test_the_readme_leads_to_every_page() -> None:
    linked = set(re.findall(r"\]\(([^)#]+\.md)\)", README.read_text(encoding="utf-8")))
    assert linked == {page.relative_to(ROOT).as_posix() for page in PAGES} - {README.name}


THREATS = [
    row.strip("|").split(" | ")
    for row in (DOCS / "security.md").read_text(encoding="utf-8").splitlines()
    if row.startswith("| ") and not row.startswith("| threat")
]


@pytest.mark.parametrize(("threat", "defence", "tests"), THREATS, ids=lambda cell: cell.strip()[:40])
def test_every_defence_names_tests_that_hold_it(threat: str, defence: str, tests: str) -> None:
    """`docs/security.md` claims nothing for a test that is gone: after a file come the names of functions in it."""
    assert threat.strip()
    assert defence.strip()
    for group in tests.split("; "):
        found = re.match(r" *`(tests/[\w/]+\.py)`: (`test_\w+`(?: `test_\w+`)*) *$", group)
        assert found, group
        written = (ROOT / found[1]).read_text(encoding="utf-8")
        there = set(re.findall(r"^ *(?:async )?def (test_\w+)\(", written, re.MULTILINE))
        assert set(re.findall(r"test_\w+", found[2])) <= there, found[1]


def test_there_are_threats() -> None:
    assert len(THREATS) > 30
