"""Without a mail server, in ``local``: e-mails as files, and a page to look at them."""

import email
import email.policy
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import PASSWORD, Person, Template, World, world_on
from tests.notifications.mail.sink import states
from tests.notifications.mail.test_headers import NASTY, written
from tests.notifications.mail.test_sending import item_created, prove, send
from tradepost.core.messaging.dispatcher import Dispatcher
from tradepost.core.messaging.outbox import MessageState
from tradepost.core.observability import logging
from tradepost.notifications.mail import folder
from tradepost.notifications.mail.composition import Email
from tradepost.notifications.mail.folder import MailFolder

AUTH = "/api/v1/auth"
SAFE = {"FIRST_SUPERUSER_PASSWORD": "Something1", "ENVIRONMENT": "staging"}


@pytest.fixture(scope="module")
def module_sink() -> Any:
    """No mail server: the application gets no settings for one."""

    class Nobody:
        settings: dict[str, Any] = {}  # noqa: RUF012

    return Nobody


def mails_of(world: World) -> list[Path]:
    return sorted((world.resources.settings.DATA_DIR / "mails").glob("*"))


async def register(client: httpx.AsyncClient, **values: str) -> None:
    applicant = {"email": "ada@example.com", "password": PASSWORD, "first_name": "Ada", "last_name": "King"}
    answer = await client.post(f"{AUTH}/register", json=applicant | values)
    assert answer.status_code == 200, answer.text


async def test_an_email_is_a_file_that_people_can_read(client: httpx.AsyncClient, world: World) -> None:
    await register(client)
    await world.resources[Dispatcher].drain()
    path = mails_of(world)[-1]
    assert path.name.endswith("-welcome.eml")
    assert path.stat().st_mode & 0o077 == 0
    raw = path.read_text(encoding="ascii")
    found = re.search(r"^http://localhost:8000/account/verify-email#token=([\w-]{43})$", raw, re.MULTILINE)
    assert found, "a link is on one line, as one would copy it"
    assert (await client.post(f"{AUTH}/email/verify", json={"token": found[1]})).status_code == 200
    parsed = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert parsed["To"] == "ada@example.com"


@pytest.mark.parametrize("named", [True, False])
async def test_a_request_is_followed_to_its_email_by_one_id(
    client: httpx.AsyncClient, world: World, capfd: pytest.CaptureFixture[str], *, named: bool
) -> None:
    logging.configure("INFO", readable=False)
    trace = "0af7651916cd43dd8448eb211c80319c"
    if named:
        client.headers["traceparent"] = f"00-{trace}-b7ad6b7169203331-01"
    await register(client)
    await world.resources[Dispatcher].drain()
    parsed = email.message_from_bytes(mails_of(world)[-1].read_bytes(), policy=email.policy.default)
    found = str(parsed["X-Trace-ID"])
    assert found == trace if named else re.fullmatch("[0-9a-f]{32}", found)
    logging.close()
    logging.configure("ERROR", readable=False)
    sent = [line for line in capfd.readouterr().err.splitlines() if '"e-mail sent"' in line]
    assert any(f'"trace_id":"{found}"' in line for line in sent), sent


async def test_the_folder_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "KEPT", 5)
    monkeypatch.setattr(folder, "TIDIED_EVERY", 3)
    mails = MailFolder(tmp_path / "new" / "mails")
    assert await mails.newest() == []
    for number in range(9):
        one = written(title=f"Number {number}")
        await mails.send(Email(one.sender, one.recipient, one.content, f"2026-{number}"))
        await mails.send(Email(one.sender, one.recipient, one.content, f"2026-{number}"))
    assert [mail.subject for mail in await mails.newest()] == [
        f"Number {number}" for number in (8, 7, 6, 5, 4)
    ]
    assert len(list(mails.directory.iterdir())) == 5


@pytest.mark.parametrize(
    "name", ["..", "../secret_key", "/etc/passwd", "a.eml", "", "x" * 200, "a\x00", "%2e%2e"]
)
async def test_only_emails_are_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret_key").write_text("x")
    (tmp_path / "mails").mkdir()
    assert await MailFolder(tmp_path / "mails").find(name) is None


async def test_a_page_shows_them(client: httpx.AsyncClient, alice: Person, world: World) -> None:
    await prove(world, alice)
    for title in NASTY:
        await send(world, item_created(alice, f"{title.replace(chr(0), '')} <img src=x onerror=alert(1)>"))
    listed = await client.get("/dev/mails")
    assert listed.status_code == 200
    assert "<img" not in listed.text
    assert "<script" not in listed.text
    assert "script-src" not in listed.headers["content-security-policy"]
    assert listed.headers["content-security-policy"].startswith("default-src 'none'")
    assert listed.headers["cache-control"] == "no-store"
    links = re.findall(r'href="(/dev/mails/[\w-]+)"', listed.text)
    assert len(links) >= len(NASTY)
    shown = await client.get(links[0])
    assert "<img" not in shown.text
    assert '<iframe title="The e-mail" sandbox="allow-popups allow-popups-to-escape-sandbox"' in shown.text
    framed = await client.get(f"{links[0]}/html")
    assert framed.headers["content-security-policy"].startswith("sandbox allow-popups")
    assert "default-src 'none'" in framed.headers["content-security-policy"]
    assert "<img" not in framed.text
    assert (await client.get("/dev/mails/nothing")).status_code == 404
    assert (await client.get("/dev/mails/..%2f..%2fsecret_key")).status_code == 404


async def test_a_hostile_file_is_shown_in_its_sandbox_only(client: httpx.AsyncClient, world: World) -> None:
    directory = world.resources.settings.DATA_DIR / "mails"
    directory.mkdir(exist_ok=True)
    (directory / "9999-hostile.eml").write_bytes(
        b'Subject: <script>alert(1)</script>\r\nTo: "<b>" <a@example.com>\r\nContent-Type: text/html\r\n\r\n'
        b"<script>alert(2)</script>"
    )
    (directory / "9999-nonsense.eml").write_bytes(b"\xff\x00\r\r\n\n:\n")
    assert "<script" not in (await client.get("/dev/mails")).text
    assert "<script" not in (await client.get("/dev/mails/9999-hostile")).text
    framed = await client.get("/dev/mails/9999-hostile/html")
    assert "<script>alert(2)" in framed.text
    assert framed.headers["content-security-policy"].startswith("sandbox allow-popups")
    assert (await client.get("/dev/mails/9999-nonsense")).status_code == 200


async def test_elsewhere_there_is_no_such_page(template: Template, tmp_path: Path) -> None:
    async with world_on(await template.copy(), tmp_path, **SAFE, RATE_LIMIT_ENABLED=True) as world:
        async with world.caller() as caller:
            assert (await caller.get("/dev/mails")).status_code == 404
            await register(caller)
            assert (await caller.get("/account/verify-email")).status_code == 200
        await world.resources[Dispatcher].drain()
        ((state, error),) = await states(world)
        assert state is MessageState.DEAD
        assert error is not None
        assert "SMTP_HOST is not set" in error
        assert not (tmp_path / "mails").exists()


async def test_none_of_this_is_in_the_openapi(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/api/v1/openapi.json")).json()["paths"]
    assert not [path for path in paths if path.startswith(("/dev", "/account"))]
