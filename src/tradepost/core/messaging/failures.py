"""Failures as text: one line that a row can store and an operator can read."""

from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError

from tradepost.core.database.faults import is_busy, is_read_only, translate
from tradepost.core.errors import DatabaseUnavailable
from tradepost.core.messaging.messages import Postponed, Undeliverable
from tradepost.core.messaging.outbox import ERROR_LENGTH


class UnknownSubscription(Exception):
    """A row names a subscription that this version does not have: a newer or an older one may know it."""


def describe(error: BaseException) -> str:
    """Return an error as one line without statements, values or control characters: it is stored and shown."""
    match error:
        case Undeliverable() | Postponed() | UnknownSubscription():
            words = str(error)
        case ValidationError():
            words = f"ValidationError: {describe_fields(error)}"
        case DBAPIError():
            words = f"{type(error.orig).__name__}: {error.orig}".partition("\n")[0]
        case TimeoutError():
            words = f"took too long{f': {error}' if str(error) else ''}"
        case _:
            words = f"{type(error).__name__}: {error}"
    return storable_line(words) or type(error).__name__


def describe_fields(error: ValidationError) -> str:
    """Return the first faults of a validation with their fields, without the values."""
    return "; ".join(
        f"{'.'.join(map(str, fault['loc'])) or 'the whole'}: {fault['msg']}"
        for fault in error.errors(include_url=False, include_context=False, include_input=False)[:5]
    )


def storable_line(words: str) -> str:
    """Return one line that both engines store and a terminal shows, of at most ``ERROR_LENGTH`` characters."""
    printable = "".join(
        character if character.isprintable() else " " for character in words[: 4 * ERROR_LENGTH]
    )
    line = " ".join(printable.split())
    return line if len(line) <= ERROR_LENGTH else f"{line[: ERROR_LENGTH - 1]}…"


def is_away(error: BaseException) -> bool:
    """Tell whether the database could not be reached or written to, which is not the fault of any message."""
    if isinstance(error, DatabaseUnavailable):
        return True
    if isinstance(error, DBAPIError) and isinstance(translate(error), DatabaseUnavailable):
        return (
            error.connection_invalidated
            or isinstance(error.orig, (ConnectionError, TimeoutError))
            or is_read_only(error)
            or is_busy(error)
        )
    return False
