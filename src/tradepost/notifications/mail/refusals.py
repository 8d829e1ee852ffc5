"""The refusals of mail servers: which are final, how they are described, and one warning for many of a kind.

Servers answer at RCPT and DATA for reasons that have nothing to do with the recipient. Postfix, for one, checks HELO, the
client, the sender and relaying there (``554 5.7.1``, ``504 5.5.2``): a mistake in its configuration or ours must not kill
every e-mail on its way, so only an answer about this mailbox is final.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import aiosmtplib
import structlog

from tradepost.core.clock import Clock

WARN_EVERY: Final = timedelta(hours=1)
"""How long refusals of one kind are counted until they are warned of again."""
MOST_KINDS: Final = 100

_ENHANCED: Final = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?!\S)")
_PERMANENT: Final = 5
_ADDRESS: Final = 1
"""The subject of enhanced codes about addresses, ``5.1.x`` (RFC 3463, section 3.2)."""
_MAILBOX: Final = 2
"""The subject of enhanced codes about mailboxes, ``5.2.x``."""
_NOT_THIS_MAILBOX: Final = frozenset({(_ADDRESS, 8), (_MAILBOX, 2)})
"""A sender's bad domain (5.1.8), and a full mailbox, which its owner may empty (5.2.2)."""
_ABOUT_THE_MAILBOX: Final = range(550, 554)
"""Codes that are about the mailbox when they come at RCPT without an enhanced one (RFC 5321, section 4.2.3)."""

log = structlog.stdlib.get_logger(__name__)


def enhanced_code(error: aiosmtplib.SMTPResponseException) -> tuple[int, int, int] | None:
    """Return the enhanced status code at the beginning of an answer (RFC 2034), or None."""
    found = _ENHANCED.match(error.message.strip())
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def is_final(error: aiosmtplib.SMTPRecipientRefused | aiosmtplib.SMTPDataError) -> bool:
    """Tell whether an answer at RCPT or DATA says that this mailbox will never take the e-mail."""
    if not _is_permanent(error):
        return False
    enhanced = enhanced_code(error)
    if enhanced is None:
        return isinstance(error, aiosmtplib.SMTPRecipientRefused) and error.code in _ABOUT_THE_MAILBOX
    status, subject, detail = enhanced
    about_mailbox = subject in {_ADDRESS, _MAILBOX} and (subject, detail) not in _NOT_THIS_MAILBOX
    return status == _PERMANENT and about_mailbox


def is_passing(error: BaseException) -> bool:
    """Tell whether an answer is an ordinary "not now" (4xx), as a busy or a greylisting server gives."""
    return isinstance(error, aiosmtplib.SMTPResponseException) and not _is_permanent(error)


def _is_permanent(error: aiosmtplib.SMTPResponseException) -> bool:
    return error.code // 100 == _PERMANENT


def kind_of(error: BaseException) -> str:
    """Return what groups failures: the codes of an answer without its words, which differ by recipient, or the error's name."""
    if not isinstance(error, aiosmtplib.SMTPResponseException):
        return type(error).__name__
    enhanced = enhanced_code(error)
    return f"{error.code} {'.'.join(map(str, enhanced))}" if enhanced else str(error.code)


def described_without(recipient: str, error: BaseException) -> str:
    """Return a failure as one line without the recipient's address: it is stored, shown and logged.

    A server may answer anything, also bytes that are no text.
    """
    if isinstance(error, aiosmtplib.SMTPResponseException):
        text = f"the mail server answered {error.code} {error.message}"
    else:
        text = str(error) or type(error).__name__
    text = re.sub(re.escape(recipient), "the recipient", text, flags=re.IGNORECASE)
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:400]


@dataclass(slots=True)
class _Group:
    warned_at: datetime
    since: int = 0
    """Failures that were counted after the warning."""


class RefusalLog:
    """Warns of the first failure of a kind at once, and of the others while they last once an hour, with their number.

    Each e-mail is retried for days: a warning for each attempt would bury everything else in the log.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._groups: dict[str, _Group] = {}

    def note(self, kind: str, reason: str) -> None:
        """Count a failure, and warn if it is the first of its kind within the hour."""
        now = self._clock.now()
        group = self._groups.get(kind)
        if group is not None and now - group.warned_at < WARN_EVERY:
            group.since += 1
            return
        log.warning(
            "the mail server refuses e-mails; they are tried again",
            kind=kind,
            reason=reason,
            more_since_last_warning=group.since if group is not None else 0,
        )
        if group is None and len(self._groups) >= MOST_KINDS:
            self._groups.clear()
        self._groups[kind] = _Group(now)
