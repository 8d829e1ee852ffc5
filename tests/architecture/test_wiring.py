"""A new domain is named wherever it has to be: what was forgotten fails here, in words that say what to do."""

import shutil
from pathlib import Path

import pytest

from tests.architecture.wiring import House

ROOT = Path(__file__).parents[2]

DOMAIN = {
    "__init__.py": "",
    "models.py": 'class Parcel(Base):\n    __tablename__ = "parcels"\n',
    "routes.py": 'router = Router(prefix="/parcels", tags=["parcels"])\n',
    "handlers.py": "def subscribe(subscriptions, resources):\n    ...\n",
    "dependencies.py": "def open_parcels(resources):\n    ...\n",
}
"""A domain that nothing else knows of."""

FORGOTTEN = {
    "the routes of src/tradepost/parcels/routes.py are served nowhere": (
        "src/tradepost/api.py",
        "from tradepost.parcels import routes as parcel_routes\nPARCELS = (parcel_routes.router,)\n",
    ),
    "src/tradepost/parcels/handlers.py hears of no message": (
        "src/tradepost/bootstrap.py",
        "from tradepost.parcels import handlers as parcel_handlers\nPARCELS = (parcel_handlers.subscribe,)\n",
    ),
    "what `open_parcels` of src/tradepost/parcels/dependencies.py opens is missing": (
        "src/tradepost/bootstrap.py",
        "from tradepost.parcels.dependencies import open_parcels\nPARCELS = (open_parcels,)\n",
    ),
    "no migration makes the table `parcels`": (
        "migrations/versions/0001_marketplace.py",
        'op.create_table("parcels")\n',
    ),
    "src/tradepost/parcels has no tests": ("tests/parcels/test_parcels.py", ""),
    "`parcels/` is missing on the map": ("docs/architecture.md", "`parcels/`"),
}
"""What is said, and what is put at the end of which file to mend it."""

CHANGED = {
    "the OpenAPI's tag `parcels` of src/tradepost/parcels/routes.py has no description": (
        "src/tradepost/web/openapi/document.py",
        '    "uploads":',
        '    "parcels": "Things on their way",\n    "uploads":',
    ),
    "migrations do not see the table `parcels` of src/tradepost/parcels/models.py": (
        "src/tradepost/bootstrap.py",
        "MODELS = (\n",
        "MODELS = (\n    Parcel,\n",
    ),
    "migrations are not tried with a row in `parcels`": (
        "tests/migrations/rows.py",
        '    "tags": {',
        '    "parcels": {},\n    "tags": {',
    ),
    "src/tradepost/parcels stands on no floor": (
        "pyproject.toml",
        '"media | tags',
        '"media | parcels | tags',
    ),
    "nothing keeps the imports within src/tradepost/parcels in order": (
        "pyproject.toml",
        '    "tradepost.tags",\n',
        '    "tradepost.tags",\n    "tradepost.parcels",\n',
    ),
}
"""What is said, and what in which file is replaced by what to mend it."""


@pytest.fixture(scope="module")
def already() -> list[str]:
    """What is forgotten in this checkout itself: one test says so, and the others look at the rest."""
    return House(ROOT).omissions()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what is looked at, with a domain in it that nothing else knows of."""
    ignored = shutil.ignore_patterns("__pycache__", "static")
    for name in ("src", "migrations", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name, content in DOMAIN.items():
        path = tmp_path / "src" / "tradepost" / "parcels" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return tmp_path


def test_nothing_was_forgotten(already: list[str]) -> None:
    if already:
        pytest.fail("Do this:\n" + "\n".join(already), pytrace=False)


def test_everything_that_a_domain_forgot_is_named(copy: Path, already: list[str]) -> None:
    omissions = [omission for omission in House(copy).omissions() if omission not in already]
    for start in FORGOTTEN | CHANGED:
        said = [omission for omission in omissions if omission.startswith(start)]
        assert len(said) == 1, (start, omissions)
        # What to do, and where.
        assert ": " in said[0]
    assert len(omissions) == len(FORGOTTEN) + len(CHANGED), omissions


def test_what_is_mended_is_named_no_more(copy: Path, already: list[str]) -> None:
    for path, addition in FORGOTTEN.values():
        (copy / path).parent.mkdir(exist_ok=True)
        with (copy / path).open("a", encoding="utf-8") as file:
            file.write(addition)
    for path, old, new in CHANGED.values():
        before = (copy / path).read_text(encoding="utf-8")
        assert old in before
        (copy / path).write_text(before.replace(old, new, 1), encoding="utf-8")
    assert House(copy).omissions() == already


def test_a_contract_that_nothing_breaks_is_named(copy: Path) -> None:
    project = copy / "pyproject.toml"
    with project.open("a", encoding="utf-8") as file:
        file.write('\n[[tool.importlinter.contracts]]\nid = "new"\nname = "Something new"\n')
    assert any('add "Something new" to PLANTS' in omission for omission in House(copy).omissions())
