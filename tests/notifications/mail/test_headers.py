"""No name, title or address ever becomes a header, a recipient or a part of the e-mail's structure."""

import email
import email.policy
from collections.abc import Sequence
from datetime import UTC, datetime
from email.header import decode_header, make_header

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from tests.conftest import Person, World
from tests.notifications.mail.sink import Sink, Taken
from tests.notifications.mail.test_sending import HEADERS, OPTIONAL_HEADERS, item_created, send
from tradepost.accounts.models import User
from tradepost.core.messaging.messages import Undeliverable
from tradepost.notifications.mail.composition import Email, Mailbox, compose
from tradepost.notifications.mail.email_templates import EmailText, one_line

NASTY = [
    "=?utf-8?q?A=0D=0ABcc:evil@example.com?=",
    "=?utf-8?q?A=0D=0ABcc:_evil=40example.com=0D=0A=0D=0Abody?=",
    "=?utf-8?b?QQ0KQmNjOiBldmlsQGV4YW1wbGUuY29t?=",
    "=?utf-8?q?a?= =?utf-8?q?=0D=0ABcc:x@example.com?=",
    "=?utf-8?q?",
    "?=",
    "A\r\nBcc: evil@example.com",
    "A\nBcc: evil@example.com",
    "A\rBcc: evil@example.com",
    "A\u2028Bcc: evil@example.com",
    "A\x0bB\x0cC\x1cD\x85E\x00F",
    '"><script>alert(1)</script>',
    'Ann" <evil@example.com>, "B',
    "evil@example.com, Ann",
    "Ann <evil@example.com>",
    "Ann (a comment",
    "Ann; undisclosed:",
    "Group: evil@example.com;",
    "back\\slash \\",
    "--=_965f5219545fe4a216c96235602a955f",
    "\u202eexe.elpmaxe",
    "Zoë Müller-Lüdenscheidt",
    "Jörg" * 25,
    "x" * 200,
    "word " * 40,
    "李" * 100,
    "👩‍👩‍👧‍👦" * 12,
    "..",
    ".",
    " ",
    "",
]
MOMENT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

nasty = st.one_of(
    st.sampled_from(NASTY),
    st.text(max_size=120),
    st.lists(
        st.sampled_from(
            [*'\r\n\t "<>@,:;()=?_\\', "=?utf-8?q?", "=?utf-8?b?", "=0D=0A", "?=", "Bcc:", "a", "é", "李"]
        ),
        max_size=40,
    ).map("".join),
)


def written(
    *, name: str = "Ann", title: str = "Lamp", body: str = "Text", address: str = "ann@example.com"
) -> Email:
    return compose(
        EmailText(title, body, f"<p>{body}</p>"),
        sender=Mailbox("shop@example.com", name),
        recipient=Mailbox(address, name),
        message_id="20261123T120000.7@example.com",
        date=MOMENT,
        filed_as="x",
    )


def check(
    taken: Taken, *, name: str | None, title: str, address: str, headers: Sequence[str] = HEADERS
) -> None:
    """See that an e-mail has the headers it should have, in every reading, and nothing else."""
    head, separator, _ = taken.content.partition(b"\r\n\r\n")
    assert separator
    assert head.isascii() or not address.isascii()
    assert b"\r" not in head.replace(b"\r\n", b"")
    assert b"\n" not in head.replace(b"\r\n", b"")
    assert all(len(line) <= 998 for line in head.split(b"\r\n"))
    assert [header for header, _ in taken.headers] == headers
    read = taken.read
    assert list(read.keys()) == list(headers)
    assert [recipient.addr_spec for recipient in read["To"].addresses] == [address]
    assert [sender.addr_spec for sender in read["From"].addresses] == ["shop@example.com"]
    assert read.defects == []
    raw = dict(taken.headers)
    assert str(make_header(decode_header(raw["Subject"]))) == one_line(title)
    assert [part.get_content_type() for part in read.iter_parts()] == ["text/plain", "text/html"]
    if name is not None and name == one_line(name) and name.isascii() and "=?" not in name:
        assert read["To"].addresses[0].display_name == name


@settings(max_examples=300, deadline=None)
@example(
    name="=?utf-8?q?A=0D=0ABcc:evil@example.com?=", title="=?utf-8?q?A=0D=0ABcc:evil@example.com?=", body=""
)
@example(name="", title="", body=".\r\n.\r\nQUIT")
@given(name=nasty, title=nasty, body=nasty)
def test_whatever_is_written_stays_in_its_place(name: str, title: str, body: str) -> None:
    mail = written(name=name, title=title, body=body)
    check(
        Taken(mail.sender, (mail.recipient,), mail.content), name=name, title=title, address="ann@example.com"
    )


@settings(max_examples=200, deadline=None)
@given(name=nasty)
def test_a_name_is_read_as_it_was_written(name: str) -> None:
    name = one_line(name)
    raw = dict(Taken("", (), written(name=name).content).headers)["To"]
    shown, _, address = raw.rpartition("<")
    assert address == "ann@example.com>"
    text = str(make_header(decode_header(shown.strip()))) if "=?" in shown else shown.strip().strip('"')
    assert text == name


@pytest.mark.parametrize(
    "address",
    [
        "ann",
        "ann@",
        "ann@example.com\r\nBcc: evil@example.com",
        "ann@example.com\nRCPT TO:<evil@example.com>",
        "ann@example.com, evil@example.com",
        "<ann@example.com>",
        "ann@example.com>",
        "ann smith@example.com",
        '"ann"@example.com',
        "ann@[127.0.0.1]",
        "a(b)@example.com",
        "ann\x00@example.com",
        "",
    ],
)
def test_what_is_no_plain_address_is_not_written_to(address: str) -> None:
    with pytest.raises(Undeliverable):
        written(address=address)


def test_an_address_like_an_encoded_word_is_in_no_header() -> None:
    mail = written(address="=?utf-8?q?x=0d=0abcc?=@example.com")
    assert mail.recipient == "=?utf-8?q?x=0d=0abcc?=@example.com"
    parsed = email.message_from_bytes(mail.content, policy=email.policy.default)
    assert parsed["To"] == "undisclosed-recipients:;"
    assert list(parsed.keys()) == HEADERS


def test_the_same_email_has_the_same_bytes() -> None:
    assert written() == written()


async def test_what_a_server_receives(alice: Person, world: World, sink: Sink) -> None:
    for number, text in enumerate(NASTY):
        # As it could be after a hole in the checks of names, which refuse most of these.
        name = text.replace("\x00", "")
        async with world.database.transaction() as db:
            await db.execute(
                update(User)
                .where(User.id == alice.id)
                .values(first_name=name[:50], last_name="X", email_verified_at=MOMENT)
            )
        await send(world, item_created(alice, name))
        assert len(sink.taken) == number + 1
        mail = sink.taken[-1]
        assert (mail.sender, mail.recipients) == ("shop@example.com", (alice.email,))
        title = f"Item Created: {name}" if one_line(name) else "Item Created"
        check(
            mail,
            name=None,
            title=one_line(title)[:150].strip(),
            address=alice.email,
            headers=OPTIONAL_HEADERS,
        )
        assert "<script" not in mail.body("html")
    assert len(sink.taken) == len(NASTY)
