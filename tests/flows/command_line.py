"""The command line, called within this process: quicker than a process for each call, and seen by the coverage."""

import asyncio
from collections.abc import Mapping

from click.testing import CliRunner

from tests.flows.live import Finished
from tradepost.cli import main
from tradepost.core.clock import Clock


async def called(
    *arguments: str, env: Mapping[str, str], typed: str = "", clock: Clock | None = None
) -> Finished:
    """Call ``tradepost`` with these arguments; an exception that a person would see as a traceback is raised."""
    # In a thread: commands run event loops of their own.
    result = await asyncio.to_thread(
        CliRunner().invoke, main, arguments, input=typed, env=env, catch_exceptions=False, obj=clock
    )
    return Finished(result.exit_code, result.output)
