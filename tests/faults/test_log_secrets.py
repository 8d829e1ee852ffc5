"""What a log never holds, at any level: credentials, addresses, what was typed, and what stands for it in the database."""

import re
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import select

from tests.conftest import settings_for
from tests.flows.live import PASSWORD, LiveServer, environment, eventually, join, serving
from tests.notifications.listening import PATH as STREAM
from tradepost.accounts.models import AccountToken, User
from tradepost.bootstrap import opened

NEW_PASSWORD = "Analytical1843"
EMAIL = "ada@secret-domain.example.com"
TYPED = ("Lovelacewrites", "+14155552671", "secret-website.example.com", "What nobody else may read")
HOOK = "https://receiver.example.com/hook?key=secret-of-a-hook"


def token_in(mails: Path) -> str:
    """Return the token of the link that was mailed, or nothing when none was yet."""
    for path in mails.glob("*-password_reset.eml"):
        found = re.search(r"#token=([\w-]{43})$", path.read_text(encoding="ascii"), re.MULTILINE)
        if found:
            return found[1]
    return ""


async def used_secrets(server: LiveServer, mails: Path, email: str) -> set[str]:
    """Do what people do with secrets, rightly and wrongly, and return those that went over the wire."""
    secrets = {email, quote(email), PASSWORD, NEW_PASSWORD, *TYPED, HOOK, "secret-of-a-hook"}
    async with server.client() as client:
        ada = await join(client, email)
        secrets |= {ada.token, ada.refresh_token}
        await client.post("/auth/login", data={"username": email, "password": PASSWORD + "?"})
        await client.post("/auth/login", content=b"username=%b&password" % email.encode())
        await client.post("/auth/register", json={"email": email, "password": PASSWORD, "first_name": 7})
        await client.get(f"/items/?q={TYPED[0]}&sort=nonsense")
        await client.post("/auth/password/forgot", json={"email": email})

        async def is_mailed() -> bool:
            return bool(token_in(mails))

        await eventually(is_mailed)
        token = token_in(mails)
        secrets.add(token)
    async with server.client(ada.token) as client:
        profile = {"first_name": TYPED[0], "phone": TYPED[1], "website": TYPED[2]}
        assert (await client.put("/users/me", json=profile)).status_code == 200
        hook = await client.post("/webhooks/", json={"url": HOOK, "event_types": ["*"]})
        assert hook.status_code == 201, hook.text
        secrets.add(hook.json()["secret"])
        item = await client.post("/items/", json={"title": TYPED[3], "price": 5})
        assert item.status_code == 201
        files = {"files": ("notes.txt", b"secret-of-a-file", "text/plain")}
        await client.post(f"/upload/items/{item.json()['id']}/documents/", files=files)
        secrets.add("secret-of-a-file")
        pair = (await client.post("/auth/refresh-token", json={"refresh_token": ada.refresh_token})).json()
        secrets |= {pair["access_token"], pair["refresh_token"]}
        await client.post("/auth/refresh-token", json={"refresh_token": ada.refresh_token[:-1]})
        secrets.add(await listened_with_a_ticket(server, client))
        reset = await client.post("/auth/password/reset", json={"token": token, "new_password": NEW_PASSWORD})
        assert reset.status_code == 200
        await client.get("/users/me")
    return secrets


async def listened_with_a_ticket(server: LiveServer, client: httpx.AsyncClient) -> str:
    """Open the stream with a ticket, rightly and wrongly, and return the ticket."""
    ticket: str = (await client.post("/notifications/stream/ticket")).json()["ticket"]
    async with server.client() as browser:
        async with browser.stream("GET", STREAM, params={"ticket": ticket}) as answer:
            assert answer.status_code == 200
            assert b"id: " in await anext(answer.aiter_bytes())
        assert (await browser.get(STREAM, params={"ticket": ticket + "x"})).status_code == 401
        assert (await browser.get("/items/", params={"ticket": ticket})).status_code == 422
        assert (await browser.get("/livez", params={"ticket": ticket})).status_code == 404
        assert (await browser.post(STREAM, params={"ticket": ticket})).status_code == 405
    return ticket


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "ERROR"])
async def test_no_secret_is_in_the_log(database_url: str, tmp_path: Path, level: str) -> None:
    env = environment(
        tmp_path, database_url, LOG_LEVEL=level, WEBHOOK_ALLOW_PRIVATE="true", SECRET_KEY="k" * 64
    )
    with serving(env) as server:
        await server.ready()
        secrets = await used_secrets(server, tmp_path / "mails", f"{level.lower()}.{EMAIL}")
        async with (
            opened(settings_for(database_url, tmp_path)) as resources,
            resources.database.read() as db,
        ):
            for column in (User.hashed_password, AccountToken.token_hash, AccountToken.nonce):
                secrets |= set(await db.scalars(select(column)))
        log = server.output
    assert [secret for secret in secrets | {"k" * 64} if secret in log] == []
