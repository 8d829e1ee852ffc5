"""``tradepost doctor``: what is wrong with this installation, and what to do about it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import click
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from tradepost.bootstrap import opened
from tradepost.cli.running import current_clock, load_settings, run
from tradepost.core.database import revisions
from tradepost.core.errors import TradepostError
from tradepost.core.resources import Resources
from tradepost.core.settings.advice import misspelt, questionable, surrounding_names
from tradepost.core.signals.choice import RedisClient
from tradepost.core.storage.store import Storage
from tradepost.notifications.mail.dependencies import smtp_options
from tradepost.notifications.mail.smtp import MailFailed, SmtpMailer

PATIENCE = 5.0
"""Seconds that whatever is asked may take to answer."""


@dataclass(frozen=True)
class Finding:
    """What was found of one part, and what to do about it if something is wrong."""

    found: str
    advice: str | None = None


@click.command()
def doctor() -> None:
    """Look at settings, database, migrations, Redis, storage and mail; fails if something is wrong."""
    settings = load_settings()
    clock = current_clock()

    async def examine() -> int:
        async with opened(settings, clock=clock) as resources:
            return sum([await _examine(name, look, resources) for name, look in PARTS.items()])

    _say("settings", Finding(f"{settings.ENVIRONMENT} of Tradepost {settings.VERSION}"))
    for warning in (*questionable(settings), *misspelt(surrounding_names())):
        click.echo(f"    {warning}")
    wrong = run(examine())
    if wrong:
        raise click.ClickException(f"{wrong} of {len(PARTS) + 1} parts need attention")


async def _examine(name: str, look: Callable[[Resources], Awaitable[Finding]], resources: Resources) -> bool:
    try:
        async with asyncio.timeout(PATIENCE):
            finding = await look(resources)
    except TimeoutError:
        finding = Finding(f"no answer in {PATIENCE:g} s", "is it reachable from here, past firewalls?")
    _say(name, finding)
    return finding.advice is not None


def _say(name: str, finding: Finding) -> None:
    click.echo(f"{'WRONG' if finding.advice else 'ok':5} {name}: {finding.found}")
    if finding.advice:
        click.echo(f"    {finding.advice}")


async def _look_at_database(resources: Resources) -> Finding:
    place = resources.settings.database_url.render_as_string(hide_password=True)
    try:
        await revisions.current(resources.database)
    except (TradepostError, SQLAlchemyError) as error:
        reason = str(error.__cause__ or error).partition("\n")[0]
        return Finding(
            f"{place} cannot be reached: {reason}",
            "does it run, and are DATABASE_URL's host, name and password right?",
        )
    return Finding(place)


async def _look_at_schema(resources: Resources) -> Finding:
    try:
        revision = await revisions.current(resources.database)
        async with resources.database.read() as db:
            hindrance = await (await db.connection()).run_sync(revisions.hindrance)
    except (TradepostError, SQLAlchemyError):
        return Finding("not known without the database", "the database first")
    if revisions.is_newer(revision):
        return Finding(f"at {revision}, of a newer version than this one, which can serve on it")
    if revision != revisions.head():
        known = f"at {revision}, this version wants {revisions.head()}" if revision else "there is none yet"
        if hindrance:
            return Finding(f"{known}, and none can be made", hindrance)
        return Finding(known) if resources.settings.is_local else Finding(known, "tradepost migrate")
    return Finding(f"at {revision}")


async def _look_at_redis(resources: Resources) -> Finding:
    if resources.settings.REDIS_URL is None:
        return Finding("none: rate limits count for each process by itself")
    client: Any = resources[RedisClient]
    try:
        await client.ping()
        policy = (await client.config_get("maxmemory-policy")).get("maxmemory-policy", "noeviction")
    except (RedisError, OSError) as error:
        return Finding(
            f"cannot be reached: {error}", "does it run, and are REDIS_URL's host and password right?"
        )
    if policy != "noeviction":
        return Finding(
            f"evicts keys ({policy}), rate limits among them", "CONFIG SET maxmemory-policy noeviction"
        )
    return Finding("answers")


async def _look_at_storage(resources: Resources) -> Finding:
    settings = resources.settings
    place = f"S3, bucket {settings.AWS_S3_BUCKET_NAME}" if settings.USE_S3 else str(settings.UPLOAD_DIR)
    try:
        await resources[Storage].check()
    except TradepostError as error:
        advice = (
            "are the bucket, the keys and AWS_ENDPOINT_URL right?"
            if settings.USE_S3
            else "can this user write there?"
        )
        return Finding(f"{place}: {error.__cause__ or error}", advice)
    return Finding(place)


async def _look_at_mail(resources: Resources) -> Finding:
    settings = resources.settings
    if settings.SMTP_HOST is None:
        if settings.is_local:
            return Finding(f"no server: e-mails are written to {settings.DATA_DIR / 'mails'}")
        return Finding("no server", "nobody can reset a password: set SMTP_HOST and EMAILS_FROM_EMAIL")
    server = f"{settings.SMTP_HOST}:{settings.SMTP_PORT}"
    try:
        await SmtpMailer(smtp_options(settings), resources.clock).check()
    except MailFailed as error:
        return Finding(f"{server}: {error}", "are SMTP_HOST, _PORT, _TLS, _USER and _PASSWORD right?")
    return Finding(f"{server} answers" + (", and knows the user" if settings.SMTP_USER else ""))


PARTS: dict[str, Callable[[Resources], Awaitable[Finding]]] = {
    "database": _look_at_database,
    "schema": _look_at_schema,
    "Redis": _look_at_redis,
    "storage": _look_at_storage,
    "mail": _look_at_mail,
}
