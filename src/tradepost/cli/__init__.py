"""The command line ``tradepost``: one module for each family of commands, collected here into one group.

A command runs on the clock that ``main`` is given as its click object (``obj=``), the machine's own without one, so that
a test can move the time of a command too.
"""

import click

from tradepost.cli.backup import backup, restore
from tradepost.cli.copy_database import copy_database
from tradepost.cli.counts import counts
from tradepost.cli.doctor import doctor
from tradepost.cli.load import load
from tradepost.cli.migrate import migrate
from tradepost.cli.openapi import openapi
from tradepost.cli.outbox import outbox
from tradepost.cli.proving import reset, tokens
from tradepost.cli.reindex import reindex
from tradepost.cli.seed import seed_command
from tradepost.cli.serve import serve
from tradepost.cli.users import create_admin, users
from tradepost.cli.worker import worker

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tradepost")
def main() -> None:
    """Tradepost, the backend of a marketplace."""


COMMANDS = (
    serve, migrate, worker, doctor, backup, restore, copy_database, outbox, reindex, counts, seed_command, tokens, reset, load, create_admin, users,
    openapi,
)  # fmt: skip
for command in COMMANDS:
    main.add_command(command)
