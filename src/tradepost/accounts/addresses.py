"""E-mail addresses: one form to store and compare, and one to show.

The same mailbox is written in many ways: in capitals, with a full-width or ideographic full stop, with a domain in its own
script or as the A-label that browsers make of it. Two accounts for one mailbox, or a log-in that fails because a browser
spelt the domain otherwise, is what the one stored form prevents.
"""

import unicodedata

import idna
from email_validator import EmailNotValidError, validate_email

from tradepost.core.wire.characters import has_controls

_ACE_PREFIX = "xn--"
_JOINERS = str.maketrans("", "", "\u200c\u200d")


def normalised_email(value: str) -> str:
    """Return the form an address is stored and compared in, or raise ``ValueError`` if it is none.

    The local part is NFKC and lower case; the domain is its lower-case A-label (IDNA 2008, UTS #46 non-transitional:
    ``fußball.example`` is not ``fussball.example``).
    """
    text = unicodedata.normalize("NFKC", value.strip())
    local, at, domain = text.rpartition("@")
    if not at or has_controls(local):
        message = "an e-mail address has one @ and no invisible or control characters"
        raise ValueError(message)
    local = unicodedata.normalize("NFKC", local.lower())
    if local != local.lower():
        message = "the letters before the @ have no lower case"
        raise ValueError(message)
    try:
        ascii_domain = idna.encode(domain, uts46=True, std3_rules=True, transitional=False).decode().lower()
        # A joiner that joins letters was let through above; the validator knows none, and everything else it judges.
        validate_email(f"{local.translate(_JOINERS)}@{ascii_domain}", check_deliverability=False)
    except (idna.IDNAError, UnicodeError, EmailNotValidError) as error:
        raise ValueError(str(error)) from error
    return f"{local}@{ascii_domain}"


def shown_email(stored: str) -> str:
    """Return a stored address as people write it: with the domain in its own script."""
    local, _, domain = stored.rpartition("@")
    if _ACE_PREFIX not in domain:
        return stored
    try:
        return f"{local}@{idna.decode(domain)}"
    except (idna.IDNAError, UnicodeError):
        return stored


def account_key(username: str) -> str:
    """Return what attempts on one account are counted by, however its address is spelt and whether it exists or not."""
    try:
        return normalised_email(username)
    except ValueError:
        return username.strip().lower()
