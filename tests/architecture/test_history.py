"""Migrations are one line: two that were written at the same time may have taken the same number."""

from collections import Counter
from pathlib import Path

from alembic.script import ScriptDirectory

from tradepost.core.database import migrations, revisions


def test_migrations_follow_each_other_by_number() -> None:
    directory = Path(ScriptDirectory.from_config(migrations.configuration()).versions)
    numbers = Counter(path.name.partition("_")[0] for path in directory.glob("[0-9]*.py"))
    assert [number for number, files in numbers.items() if files > 1] == []
    written = ScriptDirectory.from_config(migrations.configuration()).walk_revisions()
    assert [one.revision for one in written] == sorted(numbers, reverse=True)


def test_the_names_of_the_files_say_what_alembic_reads_in_them() -> None:
    scripts = ScriptDirectory.from_config(migrations.configuration())
    assert revisions.known() == tuple(reversed([one.revision for one in scripts.walk_revisions()]))
    assert revisions.head() == scripts.get_current_head()
