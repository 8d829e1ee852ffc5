"""An e-mail as bytes (RFC 5322, MIME), composed by hand so that no name or title ever becomes a header line.

Python's ``EmailMessage`` parses what it is given: an encoded word such as ``=?utf-8?q?A=0D=0ABcc:…?=`` in a name is
decoded, and its line break begins a real header. Here a header's text is only ever written: plain text as it is, anything
else, and text that looks like an encoded word, as encoded words (RFC 2047).
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import Final

from email_validator import EmailNotValidError, validate_email

from tradepost.core.messaging.messages import Undeliverable
from tradepost.notifications.mail.email_templates import EmailText, one_line

CRLF: Final = "\r\n"
_LINE: Final = 76
_LONGEST_LINE: Final = 900
"""Servers take lines of 998 characters."""
_CHUNK: Final = 45
"""Bytes in one encoded word, which with its frame may have 75 characters."""
_PLAIN: Final = re.compile(r"[\x20-\x7e]*")
_PHRASE: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/^_`{|}~ -]+")
_QUOTABLE: Final = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]+")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address with an optional display name."""

    email: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Email:
    """A composed e-mail: its bytes and the SMTP envelope. ``filed_as`` is a file name that sorts by time."""

    sender: str
    recipient: str
    content: bytes
    filed_as: str

    @property
    def needs_utf8(self) -> bool:
        """Whether an address has characters outside ASCII, which not every server takes (RFC 6531)."""
        return not (self.sender + self.recipient).isascii()


def compose(
    words: EmailText,
    *,
    sender: Mailbox,
    recipient: Mailbox,
    message_id: str,
    date: datetime,
    filed_as: str,
    unsubscribe: str | None = None,
    trace: str | None = None,
) -> Email:
    """Compose an e-mail: the same bytes for the same arguments, so that a retry sends what was sent before.

    ``unsubscribe`` is the link by which a mail program switches e-mails of this kind off with one click (RFC 8058), ``trace``
    the id of the trace that the cause belongs to.
    """
    source, target = _address(sender.email), _address(recipient.email)
    parts = [_part("text/plain", words.text), _part("text/html", words.html)]
    # No part has a line that begins so: a text that has one is quoted-printable, and there "=" is never followed by "_".
    boundary = f"=_{hashlib.sha256(message_id.encode()).hexdigest()[:32]}"
    head = [
        _header("From", [*_phrase(sender.name), f"<{source}>"]),
        _header("To", _to(recipient.name, target)),
        _header("Subject", _unstructured(words.subject)),
        _header("Date", [format_datetime(date)]),
        _header("Message-ID", [f"<{message_id}>"]),
        _header("Auto-Submitted", ["auto-generated"]),
        _header("MIME-Version", ["1.0"]),
        _header("Content-Type", ["multipart/alternative;", f'boundary="{boundary}"']),
    ]
    if unsubscribe is not None:
        head[-2:-2] = [
            _header("List-Unsubscribe", [f"<{unsubscribe}>"]),
            _header("List-Unsubscribe-Post", ["List-Unsubscribe=One-Click"]),
        ]
    if trace is not None:
        head[-2:-2] = [_header("X-Trace-ID", [trace])]
    body = "".join(f"--{boundary}{CRLF}{part}{CRLF}" for part in parts) + f"--{boundary}--{CRLF}"
    return Email(source, target, f"{''.join(head)}{CRLF}{body}".encode(), filed_as)


def _header(name: str, words: list[str]) -> str:
    """Return a header, folded between its words where a line would be too long."""
    lines = [f"{name}:"]
    for word in words:
        if "\r" in word or "\n" in word:
            raise ValueError(f"a line break in the header {name}")
        if len(lines[-1]) + 1 + len(word) > _LINE and lines[-1] != f"{name}:":
            lines.append("")
        lines[-1] += f" {word}"
    return CRLF.join(lines) + CRLF


def _to(name: str, address: str) -> list[str]:
    # Encoded words have no meaning within an address, but some mail programs decode them all the same.
    return ["undisclosed-recipients:;"] if "=?" in address else [*_phrase(name), f"<{address}>"]


def _phrase(name: str) -> list[str]:
    """Return a display name as words of a header."""
    name = one_line(name)
    if not name or _PHRASE.fullmatch(name):
        return name.split()
    if _QUOTABLE.fullmatch(name) and "=?" not in name:
        return [f'"{name}"']
    return list(_encoded(name))


def _unstructured(text: str) -> list[str]:
    text = one_line(text)
    words = text.split()
    if _PLAIN.fullmatch(text) and "=?" not in text and all(len(word) < _LINE for word in words):
        return words
    return list(_encoded(text))


def _encoded(text: str) -> Iterator[str]:
    """Yield ``text`` as encoded words; a character is never cut in two."""
    chunk = b""
    for character in text:
        encoded = character.encode("utf-8", "replace")
        if len(chunk) + len(encoded) > _CHUNK:
            yield _word(chunk)
            chunk = b""
        chunk += encoded
    yield _word(chunk)


def _word(chunk: bytes) -> str:
    return f"=?utf-8?b?{base64.b64encode(chunk).decode()}?="


def _address(email: str) -> str:
    """Return an address for the wire, its domain in ASCII, or raise ``Undeliverable``."""
    try:
        checked = validate_email(email, check_deliverability=False)
    except EmailNotValidError as error:
        raise Undeliverable("the address is none that an e-mail can be sent to") from error
    address = checked.ascii_email or f"{email.rpartition('@')[0]}@{checked.ascii_domain}"
    if any(
        character.isspace() or not character.isprintable() or character in '<>"(),:;\\[]'
        for character in address
    ):
        raise Undeliverable("the address is none that a header can hold")
    return address


def _part(media_type: str, text: str) -> str:
    """Return a MIME part: 7bit where every server passes the text on, so that a stored e-mail is readable as it is."""
    plain = all(len(line) < _LONGEST_LINE and _PLAIN.fullmatch(line) for line in text.split("\n"))
    if plain and "--=_" not in text:
        encoding = "7bit"
    else:
        encoding = "quoted-printable"
        text = binascii.b2a_qp(text.encode("utf-8", "replace"), istext=True).decode("ascii")
    return (
        f"Content-Type: {media_type}; charset=utf-8{CRLF}"
        f"Content-Transfer-Encoding: {encoding}{CRLF}{CRLF}" + text.replace("\n", CRLF)
    )
