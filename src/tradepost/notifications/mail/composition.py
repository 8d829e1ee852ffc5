"""An e-mail as bytes (RFC 5322, MIME), put together by hand so that no name or title ever becomes a header line.

Python's ``EmailMessage`` reads what it is given: an encoded word such as ``=?utf-8?q?A=0D=0ABcc:…?=`` in a name is
decoded, and its line break begins a real header. Here a header's text is only ever written: as it is when it is plain,
else as encoded words (RFC 2047), also when it looks like one.
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
from tradepost.notifications.mail.letters import Letter, one_line

CRLF: Final = "\r\n"
_LINE: Final = 76
_LONGEST_LINE: Final = 900
"""Servers take lines of 998 letters."""
_CHUNK: Final = 45
"""Bytes in one encoded word, which with its frame may have 75 letters."""
_PLAIN: Final = re.compile(r"[\x20-\x7e]*")
_PHRASE: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/^_`{|}~ -]+")
_QUOTABLE: Final = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]+")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Somebody's address, and the name to write before it, if any."""

    email: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Mail:
    """An e-mail on its way: its bytes, and the envelope. ``filed_as`` is a name that sorts by time."""

    sender: str
    recipient: str
    content: bytes
    filed_as: str

    @property
    def needs_utf8(self) -> bool:
        """Whether an address has letters outside ASCII, which not every server takes (RFC 6531)."""
        return not (self.sender + self.recipient).isascii()


def compose(
    letter: Letter, *, sender: Mailbox, recipient: Mailbox, message_id: str, date: datetime, filed_as: str
) -> Mail:
    """Put an e-mail together: the same bytes for the same arguments."""
    source, target = _address(sender.email), _address(recipient.email)
    parts = [_part("text/plain", letter.text), _part("text/html", letter.html)]
    # No part has a line that begins so: a text that has is quoted, and quoted texts never have "=_".
    boundary = f"=_{hashlib.sha256(message_id.encode()).hexdigest()[:32]}"
    head = [
        _header("From", [*_phrase(sender.name), f"<{source}>"]),
        _header("To", _to(recipient.name, target)),
        _header("Subject", _unstructured(letter.subject)),
        _header("Date", [format_datetime(date)]),
        _header("Message-ID", [f"<{message_id}>"]),
        _header("Auto-Submitted", ["auto-generated"]),
        _header("MIME-Version", ["1.0"]),
        _header("Content-Type", ["multipart/alternative;", f'boundary="{boundary}"']),
    ]
    body = "".join(f"--{boundary}{CRLF}{part}{CRLF}" for part in parts) + f"--{boundary}--{CRLF}"
    return Mail(source, target, f"{''.join(head)}{CRLF}{body}".encode(), filed_as)


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
    # Encoded words have no meaning within an address, and there are programs that read them all the same.
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
    """Yield ``text`` as encoded words; a letter is never cut in two."""
    chunk = b""
    for letter in text:
        encoded = letter.encode("utf-8", "replace")
        if len(chunk) + len(encoded) > _CHUNK:
            yield _word(chunk)
            chunk = b""
        chunk += encoded
    yield _word(chunk)


def _word(chunk: bytes) -> str:
    return f"=?utf-8?b?{base64.b64encode(chunk).decode()}?="


def _address(email: str) -> str:
    """Return an address for the wire: a domain outside ASCII in its ASCII form. ``Undeliverable`` if it is none."""
    try:
        checked = validate_email(email, check_deliverability=False)
    except EmailNotValidError as error:
        raise Undeliverable("the address is none that an e-mail can be sent to") from error
    address = checked.ascii_email or f"{email.rpartition('@')[0]}@{checked.ascii_domain}"
    if any(letter.isspace() or not letter.isprintable() or letter in '<>"(),:;\\[]' for letter in address):
        raise Undeliverable("the address is none that a header can hold")
    return address


def _part(media_type: str, text: str) -> str:
    """Return a part of the body: as it is where every server passes that on, so that a file can be read without tools."""
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
