"""Every POST of the document, sent twice under one ``Idempotency-Key``: the second gets the answer of the first.

A new operation is walked without a line here; one that takes no key has to be named below, and in ``KEYLESS`` of ``api.py``.
"""

from pathlib import Path
from typing import Any

import httpx
import pyotp
from sqlalchemy import func, select, update

from tests.conformance.test_examples import (
    ADMIN,
    AS_ADA,
    CANNOT,
    fresh_world,
    operations,
    request_of,
    token_of,
)
from tests.conftest import Template, World
from tests.uploading import pdf, png
from tradepost.api import KEYLESS
from tradepost.core.idempotency.models import IdempotencyKey
from tradepost.core.messaging.dispatcher import Dispatcher
from tradepost.core.messaging.outbox import MessageState, StoredMessage

TAKE_NO_KEY = {
    "login": "gives out tokens; once more opens another session",
    "register": "is asked without an account; once more is refused",
    "refresh_token": "gives out tokens; once more gives the same for a while",
    "logout": "ends the session that a retry would be asked in",
    "logout_all": "ends the session that a retry would be asked in",
    "forgot_password": "is asked without an account",
    "reset_password": "is asked without an account; its token is good once",
    "verify_email": "is asked without an account; its token is good once",
    "confirm_email_change": "is asked without an account; its token is good once",
    "undo_email_change": "is asked without an account; its token is good once",
    "create_stream_ticket": "gives out a ticket, which is a secret, and harmless in two",
}
FILES: dict[str, dict[str, Any]] = {
    "upload_avatar": {"file": ("me.png", png())},
    "process_image": {"file": ("me.png", png())},
    "upload_item_images": {"files": ("lamp.png", png())},
    "upload_item_documents": {"files": ("manual.pdf", pdf())},
}
SECRETS = {
    "create_webhook": {"secret"},
    "rotate_webhook_secret": {"secret"},
    "create_api_key": {"key"},
    "set_up_totp": {"secret", "otpauth_uri"},
    "confirm_totp": {"recovery_codes"},
}
"""Operations whose answer shows something once, and the fields that a replay comes without."""


def takes_key(operation: dict[str, Any]) -> bool:
    return any(one["name"] == "Idempotency-Key" for one in operation.get("parameters", ()))


def what_is_kept(name: str, answer: httpx.Response) -> tuple[int, list[str | None], Any]:
    """Return status, headers and body, without what is shown once."""
    headers = [answer.headers.get(header) for header in ("etag", "location", "content-type")]
    if name in SECRETS:
        return answer.status_code, headers, answer.json() | dict.fromkeys(SECRETS[name])
    return answer.status_code, headers, answer.content


async def kill_a_message(world: World) -> None:
    """Have a message that was given up, for the operation that tries one again."""
    async with world.database.transaction() as db:
        await db.execute(
            update(StoredMessage)
            .where(StoredMessage.id == 1)
            .values(state=MessageState.DEAD, settled_at=world.clock.now(), lease=None)
        )


def test_the_exceptions_are_those_of_the_code(world: World) -> None:
    posts = [methods["post"] for methods in world.app.openapi()["paths"].values() if "post" in methods]
    assert {one["operationId"] for one in posts if not takes_key(one)} == TAKE_NO_KEY.keys()
    assert {endpoint.__name__ for endpoint in KEYLESS} == TAKE_NO_KEY.keys()


async def test_a_retry_of_every_post_is_replayed(template: Template, tmp_path: Path) -> None:
    wrong: dict[str, Any] = {}
    walked, secret = set(), ""
    async with fresh_world(template, tmp_path) as world, world.caller() as client:
        document: dict[str, Any] = world.app.openapi()
        admin = await token_of(client, ADMIN)
        named = {
            methods["post"]["operationId"]: ("post", path, methods["post"])
            for path, methods in document["paths"].items()
            if "post" in methods
        }
        order = [one[2]["operationId"] for one in operations(document) if one[0] == "post"]
        # First, so that what the examples name is hers.
        assert (await client.request(**request_of(*named["register"]))).is_success
        ada = await token_of(client, request_of(*named["login"])["data"])
        for name in (*order, *(name for name in CANNOT if name in named)):
            if name in TAKE_NO_KEY:
                continue
            walked.add(name)
            if name == "retry_message":
                await kill_a_message(world)
            method, path, operation = named[name]
            files = FILES.get(name)
            if files is not None:
                operation = {**operation, "requestBody": {}}
            request = request_of(method, path, operation) | {"files": files}
            if name == "confirm_totp":
                request["json"] = {"code": pyotp.TOTP(secret).at(world.clock.now())}
            key = (ada if name in AS_ADA else admin) | {"Idempotency-Key": name}
            first, second = [await client.request(**request, headers=key) for _ in range(2)]
            if (
                not first.is_success
                or what_is_kept(name, first) != what_is_kept(name, second)
                or [one.headers.get("idempotency-replayed") for one in (first, second)] != [None, "true"]
            ):
                wrong[name] = (first.status_code, first.text, second.status_code, second.text)
            if name == "set_up_totp":
                secret = first.json()["secret"]
            if name == "create_item":
                await world.resources[Dispatcher].drain()
        assert wrong == {}
        assert walked | TAKE_NO_KEY.keys() == named.keys()
        async with world.database.read() as db:
            assert await db.scalar(select(func.count()).select_from(IdempotencyKey)) == len(walked)
