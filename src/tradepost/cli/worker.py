"""``tradepost worker``: a process that delivers messages and serves no requests."""

import click

from tradepost.cli.running import load_settings, refuse_taken_port, run
from tradepost.worker import work


@click.command()
@click.option(
    "--metrics-port",
    default=0,
    type=click.IntRange(0, 65535),
    help="Answer Prometheus on this port of every address.",
)
def worker(metrics_port: int) -> None:
    """Deliver messages until SIGTERM: e-mails, webhooks, inboxes. Any number may be at it."""
    settings = load_settings()
    if metrics_port:
        refuse_taken_port("0.0.0.0", metrics_port)  # noqa: S104 - as the help says
    run(work(settings, clock=click.get_current_context().obj, metrics_port=metrics_port))
