"""Every operation as `/docs` sends it when nothing was typed in: the examples of the document, and 2xx for whatever can.

One walk on a database of its own, because the examples name the first rows: items, tags and webhooks that the walk makes
itself, in the order in which a person would.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.conformance.test_document import METHODS, form_of, resolved
from tests.conftest import Template, World, world_on
from tradepost.core.messaging.dispatcher import Dispatcher

ADMIN = {"username": "admin@example.com", "password": "changethis"}
CANNOT = {
    "refresh_token": "needs a token that was given out",
    "reset_password": "needs the link of an e-mail",
    "verify_email": "needs the link of an e-mail",
    "confirm_email_change": "needs the link of an e-mail",
    "undo_email_change": "needs the link of an e-mail",
    "confirm_totp": "needs a code of an authenticator",
    "remove_totp": "needs a code of an authenticator",
    "lift_totp": "needs a second factor that somebody has lost",
    "delete_api_key_of": "needs an API key of the person's",
    "revoke_session_of": "needs a log-in of the person's, which has the examples' number",
    "delete_me": "ends the account that the other examples are asked by",
    "stream_notifications": "has no end",
    "upload_avatar": "needs a file",
    "process_image": "needs a file",
    "upload_item_images": "needs a file",
    "upload_item_documents": "needs a file",
    "read_file": "needs a file",
    "delete_file": "needs a file",
    "retry_message": "needs a message that was given up",
    "delete_message": "needs a message that was given up",
}
"""Operations that no example can serve, and why."""
FIRST = (
    "register",
    "login",
    "create_user",
    "create_category",
    "create_item",
    "create_tag",
    "create_event",
    "create_webhook",
)
LAST = (
    "cancel_event",
    "delete_event",
    "delete_item",
    "delete_tag",
    "delete_category",
    "delete_webhook",
    "delete_notification",
    "logout",
    "logout_all",
    "change_my_password",
    "delete_user",
    "revoke_session",
)
AS_ADA = {
    "change_email",
    "mark_notification_read",
    "delete_notification",
    "change_my_password",
    "join_event",
    "leave_event",
    "logout",
    "logout_all",
}
"""Operations asked by the person of the examples, with a new session for each; all others by an admin."""
APART = {"merge_tag": "delete_tag", "leave_event": "remove_participant"}
"""Operations that take away what another needs, and the one that is left out of their walk."""
ADVICE = (
    "An untouched example should be taken. Where it is right: name the operation in FIRST or LAST if another has to come "
    "before or after it, in AS_ADA if an admin, who made the item 1, is the wrong one to ask, and in CANNOT if no example "
    "can serve it."
)


def by_name(document: dict[str, Any]) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Return method, path and operation by its id."""
    return {
        methods[method]["operationId"]: (method, path, methods[method])
        for path, methods in document["paths"].items()
        for method in METHODS
        if method in methods
    }


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and operation, in the order of the walk."""
    found = by_name(document)
    middle = [name for name in found if name not in FIRST and name not in LAST and name not in CANNOT]
    for name in (*FIRST, *middle, *LAST):
        yield found[name]


def request_of(method: str, path: str, operation: dict[str, Any]) -> dict[str, Any]:
    """Return the request that the page would send, untouched."""
    query: dict[str, Any] = {}
    for parameter in operation.get("parameters", ()):
        value = parameter.get("example", parameter["schema"].get("default"))
        if value is None:
            continue
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(value))
        elif parameter["in"] == "query":
            query[parameter["name"]] = str(value).lower() if isinstance(value, bool) else value
    request: dict[str, Any] = {"method": method, "url": path, "params": query}
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = resolved(content["schema"])
        if media_type == "application/json":
            request["json"] = schema["examples"][0] if "examples" in schema else form_of(schema)
        elif "json" not in request:
            request["data"] = form_of(schema)
    return request


@asynccontextmanager
async def fresh_world(template: Template, directory: Path) -> AsyncIterator[World]:
    async with world_on(await template.copy(), directory) as world:
        yield world


async def token_of(client: httpx.AsyncClient, credentials: dict[str, Any]) -> dict[str, str]:
    answer = await client.post("/api/v1/auth/login", data=credentials)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def walk(world: World, *, without: set[str]) -> dict[str, str]:
    """Send every operation's request; return what was answered with anything but 2xx."""
    document: dict[str, Any] = world.app.openapi()
    refused: dict[str, str] = {}
    async with world.caller() as client:
        admin = await token_of(client, ADMIN)
        credentials: dict[str, Any] = {}
        for method, path, operation in operations(document):
            name = operation["operationId"]
            if name in without:
                continue
            request = request_of(method, path, operation)
            if name == "login":
                credentials = request["data"]
            headers = await token_of(client, credentials) if name in AS_ADA else admin
            if not operation["security"]:
                headers = {}
            answer = await client.request(**request, headers=headers)
            if not answer.is_success:
                refused[name] = f"{answer.status_code} {answer.text}"
            if name == "create_item":
                # It is in the inbox then. Before there is a webhook, whose receiver is nobody.
                await world.resources[Dispatcher].drain()
    return refused


async def test_untouched_examples_succeed(template: Template, tmp_path: Path) -> None:
    async with fresh_world(template, tmp_path) as world:
        assert await walk(world, without=set(APART)) == {}, ADVICE


async def test_untouched_examples_succeed_where_one_takes_from_another(
    template: Template, tmp_path: Path
) -> None:
    async with fresh_world(template, tmp_path) as world:
        assert await walk(world, without=set(APART.values())) == {}, ADVICE
