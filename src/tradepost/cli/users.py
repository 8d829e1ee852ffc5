"""``tradepost create-admin``: accounts that no route can make."""

import click
from pydantic import ValidationError

from tradepost.accounts.credentials import CredentialService
from tradepost.accounts.schemas import UserRegister
from tradepost.cli.running import require_schema, with_resources
from tradepost.core.resources import Resources


@click.command("create-admin")
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
