"""``tradepost openapi``: the OpenAPI document without a running server, for generators of clients."""

import json
from pathlib import Path

import click

from tradepost.cli.running import current_clock, load_settings
from tradepost.core.settings.settings import Settings
from tradepost.main import create_app


@click.command()
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file instead of standard output."
)
def openapi(output: Path | None) -> None:
    """Print the OpenAPI document."""
    # No key is needed for that, so none is made and kept.
    app = create_app(load_settings(Settings), clock=current_clock())
    document = json.dumps(app.openapi(), indent=2, ensure_ascii=False)
    if output is None:
        click.echo(document)
    else:
        output.write_text(document + "\n", encoding="utf-8")
