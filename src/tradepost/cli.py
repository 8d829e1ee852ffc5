"""``tradepost``: everything an operator can do from a shell."""

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click
import uvicorn
from alembic.util import CommandError
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from tradepost.accounts.credentials import CredentialService
from tradepost.accounts.dependencies import build_user_service
from tradepost.accounts.passwords import PasswordHasher
from tradepost.accounts.schemas import UserRegister
from tradepost.bootstrap import opened, prepare_database
from tradepost.core.database import migrations
from tradepost.core.database.faults import translate
from tradepost.core.errors import OperationFailed, TradepostError
from tradepost.core.messaging.dispatcher import PRUNE_CHUNK
from tradepost.core.messaging.outbox import MessageState
from tradepost.core.observability.metrics import MULTIPROCESS_VARIABLE, prepare_directory
from tradepost.core.resources import Resources
from tradepost.core.settings.settings import Settings, SettingsError
from tradepost.core.wire.pagination import Total, Window
from tradepost.core.wire.schemas import MAX_ID
from tradepost.main import create_app
from tradepost.outbox.dependencies import build_outbox_service
from tradepost.outbox.schemas import Selection
from tradepost.seeding.loader import EMAIL, PASSWORD, SeedRefused, SeedReport, seed
from tradepost.web.protocol import BoundedHttpProtocol
from tradepost.worker import work

P = ParamSpec("P")
T = TypeVar("T")

DEMO_SEED, DEMO_USERS, DEMO_ITEMS = 42, 50, 1_000


def load_settings(load: Callable[[], Settings] = Settings.load) -> Settings:
    """Return the settings, or end the program with every fault in them."""
    try:
        return load()
    except SettingsError as error:
        raise click.ClickException(str(error)) from error


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` to its end; what the database or a rule has against it ends the program with one sentence."""
    try:
        return asyncio.run(work)
    except (TradepostError, SQLAlchemyError) as error:
        raise click.ClickException(_in_words(error)) from error
    except CommandError as error:
        raise click.ClickException(f"The database cannot be migrated: {error}") from error


def _in_words(error: TradepostError | SQLAlchemyError) -> str:
    """Say what went wrong without the statement and its values, which may be a hash or somebody's address."""
    meaning = error if isinstance(error, TradepostError) else translate(error) or OperationFailed()
    reason = error.orig if isinstance(error, DBAPIError) else error.__cause__
    return meaning.detail if reason is None else f"{meaning.detail}: {str(reason).partition(chr(10))[0]}"


def with_resources(work: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a command's coroutine with the opened resources as its first argument."""

    @wraps(work)
    def command(*arguments: Any, **options: Any) -> None:
        async def with_parts() -> None:
            async with opened(load_settings()) as resources:
                await work(resources, *arguments, **options)

        run(with_parts())

    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tradepost")
def main() -> None:
    """Tradepost, the backend of a marketplace."""


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--workers", default=1, show_default=True, type=click.IntRange(1, 256), help="How many processes."
)
@click.option(
    "--demo", is_flag=True, help="Migrate, and in local fill an empty database with a small marketplace."
)
def serve(host: str, port: int, workers: int, *, demo: bool) -> None:
    """Serve the API."""
    # The server ends gracefully and then sends itself the signal once more: without this the process would die of it,
    # with a status that is not 0 and without the clean-up below.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    settings = load_settings()
    refuse_taken_port(host, port)
    if demo:
        people = run(prepare_demo(settings))
        click.echo(banner(settings, host, port, people=people))
    config = uvicorn.Config(
        "tradepost.main:create_served_app",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        loop="uvloop",
        http=BoundedHttpProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=20,
        # A worker that is still starting, on a busy machine, is not one that hangs.
        timeout_worker_healthcheck=60,
    )
    with metrics_directory(workers):
        if workers > 1:
            Workers(config, sockets=[config.bind_socket()]).run()
            return
        server = uvicorn.Server(config)
        with suppress(KeyboardInterrupt):
            server.run()
        if not server.started:
            sys.exit(STARTUP_FAILURE)


class Workers(Multiprocess):
    """The processes of ``--workers``, behind one socket that is gone once the last of them takes no more."""

    def terminate_all(self) -> None:
        """Let go of the socket: connections that it still took would wait for an answer from nobody."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()


def refuse_taken_port(host: str, port: int) -> None:
    """End the program at once, before anything is migrated, when the address cannot be listened on."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as probe:
            # As the server does: connections of an earlier one that are still closing are no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise click.ClickException(f"Cannot listen on {host}:{port}: {error.strerror}") from error


@contextmanager
def metrics_directory(workers: int) -> Iterator[None]:
    """Have a directory in which the metrics of several workers meet; they look for it when they start."""
    if given := os.environ.get(MULTIPROCESS_VARIABLE):
        prepare_directory(Path(given))
    if given or workers == 1:
        yield
        return
    directory = tempfile.mkdtemp(prefix="tradepost-metrics-")
    os.environ[MULTIPROCESS_VARIABLE] = directory
    try:
        yield
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def prepare_demo(settings: Settings) -> list[str]:
    """Migrate, make the first superuser, and seed a small marketplace into a database without users.

    Returns the made-up people whom the published password lets in. It is made for nobody outside ``local``.
    """
    async with opened(settings) as resources:
        await prepare_database(resources)
        if not settings.is_local:
            return []
        # There may be something to look at already.
        with suppress(SeedRefused):
            await run_seed(resources, seed_number=DEMO_SEED, users=DEMO_USERS, items=DEMO_ITEMS, append=False)
        return await made_up_people(resources)


async def made_up_people(resources: Resources) -> list[str]:
    """Return those of the first accounts that are a seed's, as long as their password is the published one."""
    async with resources.database.read() as db:
        first = await build_user_service(db, resources).page(
            Window(limit=DEMO_USERS + 1, total=Total.NONE, sort="created_at")
        )
    users = [user for user in first.rows if EMAIL.fullmatch(user.email)]
    # All of a seed have one hash: asked once, not fifty times.
    hashes = {user.hashed_password for user in users[:2]}
    known = {encoded for encoded in hashes if await resources[PasswordHasher].verify(encoded, PASSWORD)}
    return [user.email for user in users if user.is_active and user.hashed_password in known]


def banner(settings: Settings, host: str, port: int, *, people: Sequence[str] = ()) -> str:
    """Return what a person needs to know to start; ``people`` are those who can log in, the moderator first."""
    here = f"http://{'localhost' if host in {'127.0.0.1', '0.0.0.0'} else host}:{port}"  # noqa: S104 - a name for it
    password = settings.FIRST_SUPERUSER_PASSWORD.get_secret_value()
    admin_password = password if password == "changethis" else "(your FIRST_SUPERUSER_PASSWORD)"  # noqa: S105 - published
    lines = [
        f"{settings.PROJECT_NAME} {settings.VERSION} on {here}",
        "",
        f"  documentation   {here}/docs",
        f"  admin           {settings.FIRST_SUPERUSER}  {admin_password}",
    ]
    if "user1@example.com" in people:
        lines.append(f"  moderator       user1@example.com  {PASSWORD}")
    others = [email for email in people if email != "user1@example.com"]
    if others:
        lines.append(f"  people          {' … '.join(dict.fromkeys((others[0], others[-1])))}  {PASSWORD}")
    return "\n" + "\n".join(f"  {line}".rstrip() for line in lines) + "\n"


@main.command()
@with_resources
async def migrate(resources: Resources) -> None:
    """Bring the database to the newest schema and make the first superuser."""
    changed = await prepare_database(resources)
    revision = await migrations.current(resources.database)
    newer = ", by a newer version than this one" if migrations.is_newer(revision) else ""
    click.echo(f"Migrated to {revision}" if changed else f"At {revision} already{newer}")


@main.command()
@click.option(
    "--metrics-port",
    default=0,
    type=click.IntRange(0, 65535),
    help="Answer Prometheus on this port of every address.",
)
def worker(metrics_port: int) -> None:
    """Deliver messages until SIGTERM: e-mails, webhooks, inboxes. Any number may be at it."""
    run(work(load_settings(), metrics_port=metrics_port))


@main.group()
def outbox() -> None:
    """Look after messages: what waits, what was given up, and sending it after all."""


def selecting(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say which messages are meant; the command gets them as a ``selection``."""

    @wraps(command)
    def selected(ids: Sequence[int], kind: str | None, channel: str | None, **options: Any) -> None:
        command(selection=Selection(None, channel, kind, ids), **options)

    for option in (
        click.option("--id", "ids", multiple=True, type=click.IntRange(1, MAX_ID), help="May be repeated."),
        click.option("--type", "kind", help="Such as items.created.v1."),
        click.option("--channel", help="Such as mail."),
    ):
        selected = option(selected)
    return selected


def refuse_everything(selection: Selection, *, everything: bool) -> None:
    """End the program unless it was said which messages are meant, be it all of them."""
    if everything == bool(selection.ids or selection.type or selection.channel):
        raise click.UsageError("Say which messages are meant, by --channel, --type or --id, or --all.")


@outbox.command("list")
@click.option(
    "--state", type=click.Choice([state.value for state in MessageState]), help="dead, pending or done."
)
@selecting
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@with_resources
async def list_messages(resources: Resources, *, selection: Selection, state: str | None, limit: int) -> None:
    """List messages, the newest first, one JSON object a line."""
    async with resources.database.read() as db:
        page = await build_outbox_service(db, resources).page(
            replace(selection, state=MessageState(state) if state else None),
            Window(limit=limit, total=Total.NONE, sort="-created_at"),
        )
    for message in page.rows:
        click.echo(message.model_dump_json())


@outbox.command()
@selecting
@click.option("--all", "everything", is_flag=True, help="Every message that was given up.")
@with_resources
async def retry(resources: Resources, *, selection: Selection, everything: bool) -> None:
    """Have messages that were given up delivered after all."""
    refuse_everything(selection, everything=everything)
    async with resources.database.transaction() as db:
        number = await build_outbox_service(db, resources).retry_all(selection)
    click.echo(f"{number} messages are on their way again")


@outbox.command()
@click.option(
    "--state",
    default=MessageState.DEAD.value,
    show_default=True,
    type=click.Choice([MessageState.DEAD.value, MessageState.DONE.value]),
)
@selecting
@click.option("--all", "everything", is_flag=True, help="Every message in that state.")
@with_resources
async def purge(resources: Resources, *, selection: Selection, state: str, everything: bool) -> None:
    """Delete messages that were given up, or delivered."""
    refuse_everything(selection, everything=everything)
    number, deleted = 0, PRUNE_CHUNK
    while deleted == PRUNE_CHUNK:
        async with resources.database.transaction() as db:
            messages = build_outbox_service(db, resources)
            deleted = await messages.purge(replace(selection, state=MessageState(state)), limit=PRUNE_CHUNK)
        number += deleted
    click.echo(f"{number} messages deleted")


async def require_schema(resources: Resources) -> None:
    """Migrate in ``local``, as the server does; elsewhere insist that somebody has."""
    if resources.settings.is_local:
        await prepare_database(resources)
    elif not migrations.suits(await migrations.current(resources.database)):
        raise click.ClickException("The database has an older schema than this version's: tradepost migrate")


async def run_seed(
    resources: Resources, *, seed_number: int, users: int, items: int, append: bool
) -> SeedReport:
    """Seed with a progress bar on standard error, if that is a terminal."""
    with click.progressbar(length=users + items, label="Seeding", file=sys.stderr) as bar:

        def progress(done: int, _total: int) -> None:
            bar.update(done - bar.pos)

        return await seed(
            resources.database,
            seed=seed_number,
            users=users,
            items=items,
            append=append,
            environment=resources.settings.ENVIRONMENT,
            progress=progress,
        )


@main.command("seed")
@click.option(
    "--seed", "seed_number", default=42, show_default=True, help="The same number makes the same rows."
)
@click.option("--users", default=1000, show_default=True, type=click.IntRange(1, 1_000_000))
@click.option("--items", default=100_000, show_default=True, type=click.IntRange(0, 10_000_000))
@click.option("--append", is_flag=True, help="Add to a database that has rows.")
@with_resources
async def seed_command(
    resources: Resources, seed_number: int, users: int, items: int, *, append: bool
) -> None:
    """Fill the database with a made-up marketplace; log in as user1@example.com, password Tradepost1."""
    await require_schema(resources)
    try:
        report = await run_seed(resources, seed_number=seed_number, users=users, items=items, append=append)
    except SeedRefused as error:
        raise click.ClickException(str(error)) from error
    click.echo(
        f"{report.users} users, {report.items} items, {report.tags} tags, {report.categories} categories "
        f"in {report.seconds:.1f} s; fingerprint {report.fingerprint}"
    )


@main.command("create-admin")
@click.argument("email")
@click.password_option(help="Asked for when it is not given.")
@with_resources
async def create_admin(resources: Resources, email: str, password: str) -> None:
    """Make an account with all permissions."""
    try:
        applicant = UserRegister(email=email, password=password, first_name="Admin", last_name="User")
    except ValidationError as error:
        faults = "\n".join(
            f"  {'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()
        )
        raise click.ClickException(f"Not acceptable:\n{faults}") from error
    await require_schema(resources)
    if not await resources[CredentialService].create_admin(applicant.email, applicant.password):
        raise click.ClickException(f"{applicant.email} has an account already")
    click.echo(f"{applicant.email} is an admin now")


@main.command()
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file instead of standard output."
)
def openapi(output: Path | None) -> None:
    """Print the OpenAPI document."""
    # No key is needed for that, so none is made and kept.
    document = json.dumps(create_app(load_settings(Settings)).openapi(), indent=2, ensure_ascii=False)
    if output is None:
        click.echo(document)
    else:
        output.write_text(document + "\n", encoding="utf-8")
