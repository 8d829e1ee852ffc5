"""``tradepost backup`` and ``tradepost restore``: the embedded default, with its files and its key, in one archive."""

from pathlib import Path

import click

from tradepost.backups import archive, restoring
from tradepost.backups.archive import BackupFailed, Manifest, Places
from tradepost.cli.running import current_clock, load_settings
from tradepost.core.database.occupancy import DatabaseInUse
from tradepost.core.database.revisions import is_newer
from tradepost.core.settings.settings import Settings

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("file", type=FILE)
def backup(file: Path) -> None:
    """Write the embedded database, its files and its key to FILE, while servers go on."""
    settings = load_settings(Settings)
    try:
        manifest, missing = archive.write(
            file, _places(settings), version=settings.VERSION, made_at=current_clock().now().isoformat()
        )
        restoring.check(file)
    except BackupFailed as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{file}: {_described(manifest)}; read again and found whole")
    if settings.USE_S3:
        click.echo("Files are in S3 and not in it: copy the bucket")
    elif missing:
        click.echo(
            f"{missing} files that the database knows have no bytes in {settings.UPLOAD_DIR}", err=True
        )
    if archive.KEY not in manifest.members:
        click.echo("SECRET_KEY is set from outside and not in it: keep it, too")


@click.command()
@click.argument("file", type=FILE)
@click.option("--replace", is_flag=True, help="Also where there is a database already, which is then gone.")
@click.option("--check", is_flag=True, help="Only read the whole of it and say whether it is good.")
def restore(file: Path, *, replace: bool, check: bool) -> None:
    """Put what `backup` wrote in the place that the settings name. No server may be running there."""
    settings = load_settings(Settings)
    try:
        if check:
            click.echo(f"{file}: {_described(restoring.check(file))}; whole")
            return
        manifest = restoring.restore(file, _places(settings), replace=replace)
    except DatabaseInUse as error:
        raise click.ClickException("a Tradepost is running on this database: stop it first") from error
    except BackupFailed as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"Restored {_described(manifest)}")
    if settings.USE_S3 and manifest.files:
        click.echo(
            f"Its files are in {settings.UPLOAD_DIR}, and these settings look for them in S3", err=True
        )
    if archive.KEY in manifest.members and settings.SECRET_KEY.get_secret_value():
        click.echo(
            "SECRET_KEY is set, so the key in it is not used: those who were logged in are not", err=True
        )
    if is_newer(manifest.revision):
        click.echo(f"It is of a newer version ({manifest.version}) than this one", err=True)


def _places(settings: Settings) -> Places:
    """Where the embedded default keeps what belongs together; another database ends the program."""
    if not settings.is_sqlite:
        raise click.ClickException(
            "only the embedded database is kept in this way: for PostgreSQL use pg_dump (docs/operations.md)"
        )
    own_key = not settings.SECRET_KEY.get_secret_value()
    return Places(
        database=Path(str(settings.database_url.database)),
        files=settings.UPLOAD_DIR,
        key=settings.DATA_DIR / archive.KEY if own_key else None,
    )


def _described(manifest: Manifest) -> str:
    size = sum(member.size for member in manifest.members.values()) / 2**20
    return f"the database at {manifest.revision} with {manifest.files} files, {size:.1f} MiB, of {manifest.made_at[:19]}Z"
