"""The command line ``tradepost``: one module for each family of commands, collected here into one group.

A command runs on the clock that ``main`` is given as its click object (``obj=``), the machine's own without one, so that
a test can move the time of a command too.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Final

import click
from typing_extensions import override

__all__ = ["main"]

COMMANDS: Final[Mapping[str, str]] = {
    "serve": "serve:serve",
    "migrate": "migrate:migrate",
    "worker": "worker:worker",
    "doctor": "doctor:doctor",
    "backup": "backup:backup",
    "restore": "backup:restore",
    "copy-database": "copy_database:copy_database",
    "outbox": "outbox:outbox",
    "reindex": "reindex:reindex",
    "counts": "counts:counts",
    "seed": "seed:seed_command",
    "tokens": "proving:tokens",
    "reset": "proving:reset",
    "load": "load:load",
    "create-admin": "users:create_admin",
    "users": "users:users",
    "openapi": "openapi:openapi",
}
"""The module of each command within this package, and its name there."""


class _Commands(Mapping[str, click.Command]):
    """The commands by name, each imported when it is asked for: a server has no use for what makes marketplaces up."""

    @override
    def __getitem__(self, name: str) -> click.Command:
        module, _, attribute = COMMANDS[name].partition(":")
        command: click.Command = getattr(import_module(f"{__name__}.{module}"), attribute)
        return command

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    @override
    def __len__(self) -> int:
        return len(COMMANDS)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tradepost")
def main() -> None:
    """Tradepost, the backend of a marketplace."""


main.commands = _Commands()  # type: ignore[assignment] # click asks it, and nothing is added
