"""``tradepost users`` and ``tradepost create-admin``: accounts, as an operator sees and mends them.

Whatever these change stands in the audit trail, as done by the system. A person is named by e-mail address or number.
"""

import click
from pydantic import TypeAdapter, ValidationError

from tradepost.accounts.credentials import CredentialService
from tradepost.accounts.dependencies import build_user_service
from tradepost.accounts.models import User
from tradepost.accounts.permissions import Role
from tradepost.accounts.schemas import Password, UserRegister, UserUpdate
from tradepost.accounts.second_factor import SecondFactorReader, SecondFactorService
from tradepost.cli.running import require_schema, with_resources
from tradepost.core.audit.trail import SYSTEM
from tradepost.core.resources import Resources
from tradepost.core.wire.pagination import Total, Window

PAGE = 100


def _refused(error: ValidationError) -> click.ClickException:
    faults = "\n".join(f"  {'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
    return click.ClickException(f"Not acceptable:\n{faults}")


@click.command("create-admin")
@click.argument("email")
@click.password_option(help="Asked for when it is not given.")
@with_resources
async def create_admin(resources: Resources, email: str, password: str) -> None:
    """Make an account with all permissions."""
    try:
        applicant = UserRegister(email=email, password=password, first_name="Admin", last_name="User")
    except ValidationError as error:
        raise _refused(error) from error
    await require_schema(resources)
    if not await resources[CredentialService].create_admin(applicant.email, applicant.password):
        raise click.ClickException(f"{applicant.email} has an account already")
    click.echo(f"{applicant.email} is an admin now")


@click.group()
def users() -> None:
    """Look at accounts, and change them. WHO is an e-mail address or a number."""


async def _found(resources: Resources, who: str) -> User:
    await require_schema(resources)
    return await resources[CredentialService].find(who)


def _line(user: User) -> str:
    state = "active" if user.is_active else "inactive"
    return f"{user.id}\t{user.email}\t{user.role.value}\t{state}\t{user.full_name}"


@users.command("list")
@with_resources
async def list_users(resources: Resources) -> None:
    """List everybody: number, e-mail address, role, state and name, with tabs between."""
    await require_schema(resources)
    skip = 0
    while True:
        async with resources.database.read() as db:
            window = Window(skip=skip, limit=PAGE, sort="created_at", total=Total.NONE)
            page = await build_user_service(db, resources).page(window)
        for user in page.rows:
            click.echo(_line(user))
        if page.end is None:
            return
        skip += PAGE


@users.command()
@click.argument("who")
@with_resources
async def show(resources: Resources, who: str) -> None:
    """Show an account."""
    user = await _found(resources, who)
    proved = user.email_verified_at
    has_second_factor = await resources[SecondFactorReader].has(user.id)
    for name, value in (
        ("id", user.id),
        ("email", user.email),
        ("verified", f"{proved:%Y-%m-%d %H:%M} UTC" if proved else "no"),
        ("name", user.full_name),
        ("role", user.role.value),
        ("totp", "on" if has_second_factor else "off"),
        ("active", "yes" if user.is_active else "no"),
        ("phone", user.phone or "-"),
        ("website", user.website or "-"),
        ("created", f"{user.created_at:%Y-%m-%d %H:%M} UTC"),
        ("changed", f"{user.updated_at:%Y-%m-%d %H:%M} UTC"),
    ):
        click.echo(f"{name:9} {value}")


async def _update(resources: Resources, who: str, changes: UserUpdate) -> User:
    user = await _found(resources, who)
    async with resources.database.transaction() as db:
        return await build_user_service(db, resources).update(user.id, changes)


@users.command("set-role")
@click.argument("who")
@click.argument("role", type=click.Choice([role.value for role in Role]))
@with_resources
async def set_role(resources: Resources, who: str, role: str) -> None:
    """Make somebody a user, a moderator or an admin; never the last admin anything else."""
    user = await _update(resources, who, UserUpdate(role=Role(role)))
    click.echo(f"{user.email}: {user.role.value}")


@users.command()
@click.argument("who")
@with_resources
async def deactivate(resources: Resources, who: str) -> None:
    """Switch an account off: its sessions end, and its API keys are deleted."""
    user = await _update(resources, who, UserUpdate(is_active=False))
    click.echo(f"{user.email} is switched off")


@users.command()
@click.argument("who")
@with_resources
async def activate(resources: Resources, who: str) -> None:
    """Switch an account on again."""
    user = await _update(resources, who, UserUpdate(is_active=True))
    click.echo(f"{user.email} is switched on")


@users.command("set-password")
@click.argument("who")
@click.password_option(help="Asked for when it is not given.")
@with_resources
async def set_password(resources: Resources, who: str, password: str) -> None:
    """Give somebody another password: every session ends, and the person is told by e-mail."""
    try:
        TypeAdapter(Password).validate_python(password)
    except ValidationError as error:
        raise _refused(error) from error
    user = await _found(resources, who)
    await resources[CredentialService].set_password(user.id, password)
    click.echo(f"{user.email} has another password")


@users.command("set-verified")
@click.argument("who")
@click.argument("verified", type=click.Choice(["yes", "no"]))
@with_resources
async def set_verified(resources: Resources, who: str, verified: str) -> None:
    """Take an e-mail address for proved, or for not proved any more."""
    user = await _update(resources, who, UserUpdate(email_verified=verified == "yes"))
    click.echo(f"{user.email} is {'proved' if user.email_verified else 'not proved'}")


@users.command("remove-totp")
@click.argument("who")
@with_resources
async def remove_totp(resources: Resources, who: str) -> None:
    """Take away a second factor that somebody has lost; the person is told by e-mail."""
    user = await _found(resources, who)
    await resources[SecondFactorService].lift(user.id, by=SYSTEM)
    click.echo(f"{user.email} logs in by password alone")
