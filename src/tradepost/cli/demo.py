"""The demonstration of ``tradepost serve --demo``: a small marketplace, and a banner that tells how to log in."""

from collections.abc import Sequence
from contextlib import suppress

from tradepost.accounts.dependencies import build_user_service
from tradepost.bootstrap import opened, prepare_database
from tradepost.cli.seed import run_seed
from tradepost.core.clock import Clock
from tradepost.core.resources import Resources
from tradepost.core.settings.settings import Settings
from tradepost.core.wire.pagination import Total, Window
from tradepost.seeding.loader import EMAIL, PASSWORD, PASSWORD_HASH, SeedRefused

DEMO_SEED, DEMO_USERS, DEMO_ITEMS, DEMO_EVENTS = 42, 50, 1_000, 20


async def prepare_demo(settings: Settings, *, clock: Clock | None = None) -> list[str]:
    """Migrate, make the first superuser, and seed a small marketplace into a database without users.

    Returns the e-mail addresses of the made-up people that the published password lets in. Outside ``local`` nobody is
    made up: a published password would be a way in.
    """
    async with opened(settings, clock=clock) as resources:
        await prepare_database(resources)
        if not settings.is_local:
            return []
        # There may be something to look at already.
        with suppress(SeedRefused):
            await run_seed(
                resources,
                seed_number=DEMO_SEED,
                users=DEMO_USERS,
                items=DEMO_ITEMS,
                events=DEMO_EVENTS,
                append=False,
            )
        return await _made_up_people(resources)


async def _made_up_people(resources: Resources) -> list[str]:
    """Return those of the first accounts that are a seed's, as long as their password is the published one."""
    async with resources.database.read() as db:
        first = await build_user_service(db, resources).page(
            Window(limit=DEMO_USERS + 1, total=Total.NONE, sort="created_at")
        )
    return [
        user.email
        for user in first.rows
        if user.is_active and user.hashed_password == PASSWORD_HASH and EMAIL.fullmatch(user.email)
    ]


def banner(settings: Settings, here: str, *, people: Sequence[str] = ()) -> str:
    """Return what a person needs to know to start: ``here`` is where the server is found, ``people`` are the addresses that can log in, the moderator first."""
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
